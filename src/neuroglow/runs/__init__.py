"""Runs: one output made block by block, unfinished until it is whole; the same in every verb."""
