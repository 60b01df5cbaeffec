"""Small pools of cubes for the tests of survey and select."""

import csv

import numpy as np
import tifffile


def make_cube(seed, side=32, lines=3, snr=8.0, noise=10.0):
    """Give (image, label): straight bright lines along x in noise; the same seed, the same cube."""
    rng = np.random.default_rng(seed)
    label = np.zeros((side,) * 3, bool)
    for _ in range(lines):
        z, y = rng.integers(2, side - 3, 2)
        label[z : z + 2, y : y + 2] = True
    image = 200 + noise * (rng.standard_normal(label.shape) + snr * label)
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16), label.astype(np.uint8)


def write_pool(folder, cubes, *, labels=True):
    """Write {name: (image, label)} in DB-Enhance's layout; gives the folder."""
    for part in ("image", "label") if labels else ("image",):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, (image, label) in cubes.items():
        tifffile.imwrite(folder / f"image/{name}.tif", image)
        if labels and label is not None:
            tifffile.imwrite(folder / f"label/{name}.tif", label)
    return folder


def varied(count, **others):
    """Give `count` cubes of varied density, SNR and noise."""
    return {
        f"c{i:02d}": make_cube(i, lines=1 + i % 5, snr=1.5 + i % 7, noise=5.0 + i % 6, **others)
        for i in range(count)
    }


def rows(path):
    """Read a table as a list of mappings."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
