"""Lines of known length, drawn as probabilities."""

import numpy as np

from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import Tree

SIZE = (64, 64, 64)
STEPS = np.linspace(0, 1, 300)[:, None]


def line(points, radius=1.0):
    """Give an unbranched tree through points (um)."""
    count = len(points)
    parents, kinds = np.arange(-1, count - 1), np.full(count, 2)
    return Tree(np.asarray(points, float), np.full(count, radius), kinds, parents)


def straight(start, stop, radius=1.0):
    """Give a straight line."""
    return line(np.array(start) + STEPS * np.subtract(stop, start), radius)


def circle(radius, centre=(32, 32, 32), thick=1.0):
    """Give a circle in the plane of y and x."""
    turn = 2 * np.pi * STEPS
    ring = np.hstack([0 * turn, radius * np.sin(turn), radius * np.cos(turn)])
    return line(np.array(centre) + ring, thick)


def helix(height, radius, turns, thick=1.0):
    """Give a helix along z."""
    turn = 2 * np.pi * turns * STEPS
    way = np.hstack([height * STEPS + 6, 32 + radius * np.sin(turn), 32 + radius * np.cos(turn)])
    return line(way, thick)


def ball(centre, radius):
    """Give a soma: one node."""
    return Tree(np.array([centre], float), np.array([radius]), np.array([1]), np.array([-1]))


def length(tree):
    """Give the length of a tree."""
    has = tree.parents >= 0
    return float(np.linalg.norm(tree.points[has] - tree.points[tree.parents[has]], axis=1).sum())


def draw(*trees, shape=SIZE, unit=(1.0, 1.0, 1.0), value=0.9):
    """Draw trees: a probability (zyx, float32)."""
    detected = np.zeros(shape, bool)
    for tree in trees:
        detected |= rasterise(tree, shape, unit, margin_vox=0) == 1
    return np.where(detected, np.float32(value), np.float32(0))


def random_walks(rng, shape, count, *, steps=300, radius=1.5):
    """Give lines that wander through a volume."""
    found = []
    for _ in range(count):
        ways = rng.normal(size=3) + np.cumsum(rng.normal(0, 0.25, (steps, 3)), axis=0)
        ways /= np.linalg.norm(ways, axis=1)[:, None]
        found.append(line(rng.uniform(0, 1, 3) * shape + np.cumsum(0.7 * ways, axis=0), radius))
    return found
