"""A line to trace, shared by the tests of the routes and of the page."""

import numpy as np

LONG = 300
"""Voxels of the line: more than two blocks."""


def line_with_a_branch_and_a_soma():
    """Give a probability: a line along x, a branch along y, and a body on the line."""
    voxels = np.zeros((24, 40, LONG), np.uint8)
    voxels[12, 20, 4 : LONG - 4] = 230
    voxels[12, 21:36, 60] = 230
    z, y, x = np.ogrid[:24, :40, :LONG]
    voxels[(z - 12) ** 2 + (y - 20) ** 2 + (x - 150) ** 2 <= 49] = 230
    return voxels
