"""Trees of neurites as files, and drawn into voxels."""
