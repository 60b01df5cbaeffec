"""Injection and recovery: how much is found of neurites that were added to a real volume."""
