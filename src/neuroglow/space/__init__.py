"""Where voxels are: boxes, axes, units, volumes, and volumes seen otherwise."""
