"""Work on many blocks: bounded, resumable, explicit about failures; here or on a cluster."""
