"""How files are named, found elsewhere, and written: completely or not at all."""
