"""Formats of volumes: opened and read by box, and written."""
