"""Training sets: the table of cubes, splits, exports, exclusions."""
