"""Where voxels are: boxes, volumes, blocks of work."""
