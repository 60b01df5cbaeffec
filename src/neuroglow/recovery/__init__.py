"""Injection and recovery: what is found of neurites that were added to a real volume."""
