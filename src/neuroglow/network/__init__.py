"""Networks, checkpoints, inference, named models."""
