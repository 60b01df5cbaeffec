"""What is learned: noise units, networks, checkpoints."""
