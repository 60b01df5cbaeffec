"""Thumbnails: a small picture of what an item holds, made once and kept."""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import re
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.manifest import TABLE, Cube, box_of, read_manifest
from neuroglow.errors import NeuroglowError
from neuroglow.files.names import natural
from neuroglow.files.record import files_beside
from neuroglow.files.writing import appearing, hash_of
from neuroglow.pictures.colours import glow, grey
from neuroglow.selection.beside import page_of
from neuroglow.space.geometry import Box
from neuroglow.studio.checking import read_trees
from neuroglow.studio.kinds import VOXELS, kind_of
from neuroglow.studio.refusals import missing
from neuroglow.studio.studio import Studio
from neuroglow.studio.volumes import Shown

__all__ = ["thumbnail"]

SIDE = 192
"""Pixels along the longer side."""

PLANES = 64
"""Planes in the middle of a level that are projected."""

ACROSS = 3
"""Cubes of a manifest that are shown side by side; as many rows at most."""

MOST_LOOKED_AT = 200
"""Entries of a folder among which its volumes are looked for."""

LARGEST = 20_000_000
"""Bytes of a picture next to an output, or of a report, that is made smaller."""

EMBEDDED = re.compile(rb"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/=]+)")
"""A picture within a report."""

Pixels = NDArray[np.uint8]


def thumbnail(studio: Studio, path: str) -> bytes:
    """Return a PNG of a volume, of trees or of a run. Raises RefusedError if there is none."""
    place = studio.inside.place(path)
    kind = kind_of(place) if place.exists() else "probability"
    if kind in VOXELS:
        shown = studio.volumes.show(path)
        return _kept(studio, hash_of(path, shown.revision), lambda: _of_volume(studio, shown))
    if kind == "selection" and place.is_dir():
        stamp = hash_of(path, (place / TABLE).stat().st_mtime_ns)
        return _kept(studio, stamp, lambda: _of_cubes(studio, place, path))
    if kind == "folder":
        return _of_folder(studio, place, path)
    if kind == "trees":
        stamp = hash_of(path, place.stat().st_mtime_ns)
        return _kept(studio, stamp, lambda: _of_trees(studio, path))
    picture = _picture_of(place, kind or "")
    if picture is None:
        raise missing(path, "no picture")
    studio.inside.check(picture, path)
    if picture.stat().st_size > LARGEST:
        raise missing(path, "a picture that is too large")
    make = _of_report if picture.suffix == ".html" else _smaller
    return _kept(studio, hash_of(path, picture.stat().st_mtime_ns), lambda: make(picture, path))


def _kept(studio: Studio, key: str, make: object) -> bytes:
    """Return a picture that is kept, or make it."""
    assert callable(make)
    file = studio.state.folder / "thumbnails" / f"{key[:32]}.png"
    if file.is_file():
        return file.read_bytes()
    pixels: Pixels = make()
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    image.save(buffer, "PNG")
    file.parent.mkdir(parents=True, exist_ok=True)
    with appearing(file) as partial:
        partial.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def _of_volume(studio: Studio, shown: Shown) -> Pixels:
    """Project the middle planes of the coarsest level that is stored; else of the coarsest."""
    level = len(shown.levels) - 1
    shape = shown.levels[level].shape
    first = max(0, (shape[0] - PLANES) // 2)
    stop = min(shape[0], first + PLANES)
    flat = np.zeros(shape[1:], np.float32)
    for y in range(0, shape[1], 256):
        for x in range(0, shape[2], 256):
            y1, x1 = min(shape[1], y + 256), min(shape[2], x + 256)
            voxels = shown.read(level, Box((first, y, x), (stop, y1, x1)))
            flat[y:y1, x:x1] = voxels.max(axis=0)
    seen = studio.grey(shown)
    if shown.kind == "probability":
        share = np.clip(flat / seen.high, 0, 1)
        return np.asarray(glow(np.zeros((*shape[1:], 3), np.uint8), share))
    return np.asarray(grey(flat, seen.low, float(max(flat.max(), seen.high))), np.uint8)


def _of_cubes(studio: Studio, place: Path, said: str) -> Pixels:
    """Draw the first cubes of a manifest, row by row. Raises RefusedError if none can be read."""
    studio.inside.check(place / TABLE, said)
    cubes = read_manifest(place)[: ACROSS**2]
    return _tiled([tile for cube in cubes if (tile := _of_cube(studio, cube)) is not None], said)


def _of_folder(studio: Studio, place: Path, said: str) -> bytes:
    """Draw the first volumes of a folder. Raises RefusedError if it has none that can be read."""
    named = sorted(itertools.islice(place.iterdir(), MOST_LOOKED_AT), key=natural)
    volumes = [path for path in named if kind_of(path) == "volume"][: ACROSS**2]
    stamp = hash_of(said, [(path.name, path.stat().st_mtime_ns) for path in volumes])
    cubes = [Cube(path.stem, path) for path in volumes]
    tiles = (_of_cube(studio, cube) for cube in cubes)
    return _kept(studio, stamp, lambda: _tiled([t for t in tiles if t is not None], said))


def _tiled(tiles: Sequence[Pixels], said: str) -> Pixels:
    """Lay pictures side by side. Raises RefusedError if there is none."""
    if not tiles:
        raise missing(said, "no volume that can be read")
    across = min(ACROSS, ceil(sqrt(len(tiles))))
    side = SIDE // across
    pixels = np.full((side * ceil(len(tiles) / across), side * across, 3), 24, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, across)
        small = _fitted(tile, side - 2)
        at = row * side + 1, column * side + 1
        pixels[at[0] : at[0] + small.shape[0], at[1] : at[1] + small.shape[1]] = small
    return pixels


def _of_cube(studio: Studio, cube: Cube) -> Pixels | None:
    """Project one cube; None if it lies outside of the folder, or cannot be read."""
    relative = studio.inside.relative_if_inside(cube.image)
    if relative is None:
        return None
    try:
        shown = studio.volumes.show(relative)
        if not cube.box:
            return _of_volume(studio, shown)
        box = box_of(cube, shown.levels[0].shape)
        first = box.start[0] + max(0, (box.shape[0] - PLANES) // 2)
        stop = min(box.stop[0], first + PLANES)
        flat = shown.read(0, Box((first, *box.start[1:]), (stop, *box.stop[1:]))).max(axis=0)
        seen = studio.grey(shown)
    except NeuroglowError:
        return None
    return np.asarray(grey(flat.astype(np.float32), seen.low, float(max(flat.max(), seen.high))))


def _fitted(pixels: Pixels, side: int) -> Pixels:
    """Return a picture in colours, as large as fits into a square."""
    from PIL import Image

    image = Image.fromarray(pixels).convert("RGB")
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    return np.asarray(image.resize(size, way))


def _of_trees(studio: Studio, path: str) -> Pixels:
    """Draw the nodes of trees along z."""
    tree = read_trees(studio.inside, path)
    pixels = np.full((SIDE, SIDE, 3), 24, np.uint8)
    if not len(tree.points):
        return pixels
    places = tree.points[:, 1:]
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (SIDE - 9) / max(float((high - low).max()), 1e-6)
    ends = (places - low) * scale + 4
    parents = np.where(tree.parents < 0, np.arange(len(places)), tree.parents)
    for share in np.linspace(0, 1, 9):
        at = np.rint(ends * share + ends[parents] * (1 - share)).astype(int)
        pixels[at[:, 0], at[:, 1]] = (86, 180, 233)
    return pixels


def _picture_of(place: Path, kind: str) -> Path | None:
    """Name a picture that a verb left."""
    if kind == "report":
        return place / "report.html" if place.is_dir() else place
    if kind == "run":
        found = sorted((place / "pictures").glob("step-*.png"))
        return found[-1] if found else None
    if kind in ("survey", "selection") and place.is_file():
        beside = [place.with_suffix(".png"), files_beside(place).picture, page_of(place)]
        return next((file for file in beside if file.is_file()), None)
    if kind == "cube":
        found = sorted(place.glob("*.png"))
        return found[0] if found else None
    return None


def _of_report(page: Path, said: str) -> Pixels:
    """Return the first picture within a report. Raises RefusedError if there is none."""
    found = EMBEDDED.search(page.read_bytes())
    try:
        return _smaller(io.BytesIO(base64.b64decode(found[1], validate=True)), said)  # type: ignore[index]  # else caught
    except (TypeError, binascii.Error):
        raise missing(said, "no picture") from None


def _smaller(picture: Path | io.BytesIO, said: str) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(picture) as image:
            image.draft("RGB", (SIDE * 2, SIDE * 2))
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise missing(said, "a picture that cannot be read") from None
