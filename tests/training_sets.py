"""Small training sets for tests: seeded, bright lines on noise."""

import numpy as np
import tifffile


def draw_cube(number, size=32):
    """Draw a cube with two bright tubes: (image uint16, label uint8)."""
    rng = np.random.default_rng([5, number])
    image = rng.normal(300, 20, (size,) * 3)
    label = np.zeros((size,) * 3, np.uint8)
    for _ in range(2):
        z, y = rng.integers(4, size - 4, 2)
        label[z - 1 : z + 1, y - 1 : y + 1, :] = 1
    image += 200 * label
    return image.astype(np.uint16), label


def write_cube(folder, number, *, size=32, image=None, label=None):
    """Write a cube in DB-Enhance's layout."""
    drawn = draw_cube(number, size)
    for kind, given, own in zip(("image", "label"), (image, label), drawn, strict=True):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / kind / f"c{number}.tif", own if given is None else given)


def write_pool(folder, count=4, size=32):
    """Write a training set of some cubes."""
    for number in range(count):
        write_cube(folder, number, size=size)
    return folder


TINY = {
    "widths": (4, 8),
    "patch": 16,
    "batch": 2,
    "precision": "float32",
    "steps": 6,
    "checkpoint_every": 2,
    "halo": 8,
}
"""Settings of a training run of about a second."""
