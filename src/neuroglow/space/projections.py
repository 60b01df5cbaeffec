"""Maximum projections along the three axes, collected block by block, and their picture.

A projection of a thick volume shows the brightest of very many planes, and looks full. Therefore
its middle MIDDLE planes along each axis are projected too. Each block writes its own small file,
so that a run that is killed and resumed loses none; the picture is made from all of them at the
end, in memory that does not grow with the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.geometry import Box, Zyx, tile
from neuroglow.space.volume import Array, Volume

__all__ = [
    "bin_size",
    "block_projections",
    "draw_overlay",
    "draw_picture",
    "has_middle",
    "merge_projections",
    "middle_projections",
    "project_volume",
    "save_projections",
]

Floats = NDArray[np.float32]

ORANGE = (230, 159, 0)
"""From Okabe and Ito: distinguishable from grey for everybody."""

LARGEST = 1200
"""Maximum number of pixels along the longer side; larger volumes are binned by maximum."""


MIDDLE = 16
"""Planes of the middle slab along each axis."""


def bin_size(shape: Sequence[int]) -> int:
    """Return the voxels per axis that share one pixel."""
    return -(-max(shape) // LARGEST)


def block_projections(voxels: Array, box: Box, bins: int) -> dict[str, Array]:
    """Project one block (zyx) at the place `box` along z, y and x; bins of `bins` voxels."""
    flat = np.asarray(voxels)
    for axis in range(3):
        edges = np.arange(box.start[axis] // bins, -(-box.stop[axis] // bins)) * bins
        starts = np.maximum(edges - box.start[axis], 0)
        flat = flat if bins == 1 else np.maximum.reduceat(flat, starts, axis=axis)
    return {name: flat.max(axis) for axis, name in enumerate("zyx")}


def project_volume(
    volume: Volume, block: int, look: Callable[[Array, Box], object] = lambda voxels, box: None
) -> dict[str, Array]:
    """Return maximum projections of a volume along z, y and x, block by block, in bins.

    look: called with the voxels and the box of each block, so that they are read once.
    """
    bins = bin_size(volume.shape)
    size = [-(-n // bins) for n in volume.shape]
    whole = {
        axis: np.full([n for i, n in enumerate(size) if i != k], -np.inf, np.float32)
        for k, axis in enumerate("zyx")
    }
    for part in tile(Box.of(volume.shape), (block,) * 3):
        voxels = volume.read(part.read)
        look(voxels, part.read)
        for k, (axis, image) in enumerate(block_projections(voxels, part.read, bins).items()):
            corner = [a // bins for i, a in enumerate(part.read.start) if i != k]
            at = tuple(slice(a, a + n) for a, n in zip(corner, image.shape, strict=True))
            whole[axis][at] = np.maximum(whole[axis][at], image)
    return whole


def has_middle(shape: Sequence[int]) -> bool:
    """Return whether a volume is so thick along each axis that its middle slab shows more."""
    return min(shape) >= 4 * MIDDLE


def middle_slab(shape: Sequence[int], axis: int) -> Box:
    """Return the box of the middle planes along one axis."""
    start, stop = [0, 0, 0], [int(n) for n in shape]
    start[axis] = (stop[axis] - MIDDLE) // 2
    stop[axis] = start[axis] + MIDDLE
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def middle_projections(voxels: Array, box: Box, shape: Sequence[int]) -> dict[str, Array]:
    """Project the voxels of a block that lie in the middle slab along z, y and x.

    Axes along which the block does not reach the slab are left out.
    """
    found = {}
    for axis, name in enumerate("zyx"):
        part = box.intersect(middle_slab(shape, axis))
        if part.size:
            inside = np.asarray(voxels)[part.relative_to(box).slices]
            found[name] = block_projections(inside, part, bin_size(shape))[name]
    return found


def save_projections(
    path: Path, named: dict[str, Array], box: Box, shape: Sequence[int], *, middle: bool = False
) -> None:
    """Write the projections of several images of one block: `raw_z` ..., `raw_middle_z` ...

    box: the block's place in a volume of `shape`, zyx voxels. middle: of its middle slab too.
    """
    bins, parts = bin_size(shape), {}
    for name, voxels in named.items():
        for axis, part in block_projections(voxels, box, bins).items():
            parts[f"{name}_{axis}"] = part
        if middle and has_middle(shape):
            for axis, part in middle_projections(voxels, box, shape).items():
                parts[f"{name}_middle_{axis}"] = part
    corner = np.array([a // bins for a in box.start])
    with path.open("wb") as file:
        np.savez(file, **{"corner": corner, **parts})  # type: ignore[arg-type]  # numpy's stub takes the names for allow_pickle


def merge_projections(files: Iterable[Path], shape: Zyx, name: str) -> dict[str, Floats]:
    """Merge the blocks' projections of one image by maximum; NaN where no block reported.

    name: of the image; with `_middle` appended, of its middle slab.
    """
    bins = bin_size(shape)
    size = [-(-n // bins) for n in shape]
    whole = {
        axis: np.full([n for i, n in enumerate(size) if i != k], np.nan, np.float32)
        for k, axis in enumerate("zyx")
    }
    for file in files:
        with np.load(file) as parts:
            for k, axis in enumerate("zyx"):
                if f"{name}_{axis}" not in parts:
                    continue
                part = parts[f"{name}_{axis}"].astype(np.float32)
                corner = np.delete(parts["corner"], k)
                window = tuple(slice(a, a + n) for a, n in zip(corner, part.shape, strict=True))
                whole[axis][window] = np.fmax(whole[axis][window], part)
    return whole


def draw_picture(
    path: Path,
    pairs: Sequence[tuple[dict[str, Floats], dict[str, Floats]]],
    *,
    titles: tuple[str, str],
    note: str,
) -> None:
    """Write a PNG: three projections of the raw image above those of the probability.

    pairs: (raw, probability), and for a thick volume the same for its middle slab. Raw: any unit,
    shown from its darker fifth to its brightest thousandth. Probability: 0..1.
    Pixels without any reported block are hatched red. `note` is shown at the bottom.
    """
    rows, heads = [], []
    for (above, below), of in zip(pairs, ("", f", middle {MIDDLE}"), strict=False):
        low, high = _range(above)
        rows.append([_tile(part, low, high) for part in above.values()])
        rows.append([_tile(part, 0.0, 1.0) for part in below.values()])
        heads += [title + of for title in titles]
    _paste(path, rows, heads, note)


def draw_overlay(
    path: Path, image: dict[str, Floats], detected: dict[str, Floats], *, note: str
) -> None:
    """Write a PNG: three projections of an image above the same with labelled voxels in orange.

    image: any unit, shown from its darker fifth to its brightest thousandth. detected: 0 or 1.
    """
    low, high = _range(image)
    plain = [_tile(part, low, high) for part in image.values()]
    shown = [panel.copy() for panel in plain]
    for panel, part in zip(shown, detected.values(), strict=True):
        at = part > 0
        panel[at] = (0.4 * panel[at] + 0.6 * np.array(ORANGE)).astype(np.uint8)
    _paste(path, [plain, shown], ["volume", "label over it"], note)


def _range(images: dict[str, Floats]) -> tuple[float, float]:
    """Return the values between which projections are shown."""
    values = np.concatenate(
        [a[np.isfinite(a)] for a in images.values()] or [np.zeros(1, np.float32)]
    )
    low, high = np.quantile(values, [0.2, 0.998]) if values.size else (0.0, 1.0)
    return float(low), max(float(high), float(low) + 1e-3)


def _paste(
    path: Path, rows: list[list[NDArray[np.uint8]]], titles: Sequence[str], note: str
) -> None:
    """Put rows of tiles on one canvas, each with its title."""
    from PIL import Image, ImageDraw

    zoom = max(1, 300 // max(max(panel.shape[:2]) for panel in rows[0]))
    rows = [[panel.repeat(zoom, 0).repeat(zoom, 1) for panel in row] for row in rows]
    gap, head = 8, 18
    width = max(sum(panel.shape[1] + gap for panel in rows[0]) + gap, 420)
    tall = max(panel.shape[0] for panel in rows[0])
    canvas = Image.new("RGB", (width, len(rows) * (tall + head) + gap + head), (24, 24, 27))
    pen = ImageDraw.Draw(canvas)
    for row, title in enumerate(titles):
        top = row * (tall + head)
        left = gap
        for axis, panel in zip("zyx", rows[row], strict=True):
            pen.text((left, top + 3), f"{title}, along {axis}", fill=(220, 220, 220))
            canvas.paste(Image.fromarray(panel), (left, top + head))
            left += panel.shape[1] + gap
    pen.text((gap, len(rows) * (tall + head) + 5), note, fill=(170, 170, 170))
    canvas.save(path, "PNG")


def _tile(part: Floats, low: float, high: float) -> NDArray[np.uint8]:
    grey = np.clip((part - low) / (high - low), 0, 1)
    missing = ~np.isfinite(part)
    shown = np.repeat((np.where(missing, 0, grey) * 255).astype(np.uint8)[..., None], 3, -1)
    hatch = missing & (np.add.outer(np.arange(part.shape[0]), np.arange(part.shape[1])) % 6 < 2)
    shown[hatch] = (200, 30, 30)
    return shown
