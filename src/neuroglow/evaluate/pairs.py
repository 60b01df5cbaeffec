"""Which prediction belongs to which truth, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuroglow.errors import InputError
from neuroglow.files.names import TREE_SUFFIX, is_volume, natural, stem_of
from neuroglow.files.remote import remote_path
from neuroglow.formats.opening import find_volumes
from neuroglow.labels.cube_folder import CUBE, prediction_of
from neuroglow.space.arrays import VolumeSource, is_path

__all__ = ["Files", "Pair", "find_pairs"]

ENDINGS = ("_prob", "_probability", "_pred", "_prediction", "_label", "_mask", "_truth", "_trees")
"""Endings of names: `cube1_prob.tif` and `cube1_label.tif` are a pair."""

TESTSET = "testset.json"
"""The file that marks a test set: a folder of phantom cubes."""

TRACE = "trace.json"
"""The file in every folder written by `trace`: one file per tree, all of one volume."""


@dataclass(frozen=True)
class Files:
    """One side of a pair: a volume, trees, or both for the same object; neither: no tree found."""

    volume: VolumeSource | None = None
    trees: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Pair:
    """The files that are compared, under one name."""

    name: str
    prediction: Files
    truth: Files
    raw: Files = Files()


def find_pairs(
    prediction: VolumeSource, truth: VolumeSource, raw: VolumeSource | None
) -> list[Pair]:
    """Pair files, or files of folders, by name; in the order of names.

    A folder contains volumes, SWC files, or both (under one name: one object), or was written by
    `trace`: the trees of one volume. The truth may be in its `label/` and `swc/`, raw images in
    `image/`. A single file pairs with a single file, whatever the names; a folder of trees pairs
    with a volume, as all of its trees.
    Raises InputError for missing files, and for names without a partner.
    """
    sources = [prediction, truth] + ([] if raw is None else [raw])
    places = ((), ("label", "swc"), ("image",))
    sides = [_collect(source, parts) for source, parts in zip(sources, places, strict=False)]
    if raw is not None and not all(files.volume is not None for files in sides[2].values()):
        raise InputError(
            "raw images are volumes", found="trees", where=str(raw), cure="the images for --raw"
        )
    sides = _one_of_each(sides, sources)
    names = set.union(*(set(side) for side in sides))
    words = ("prediction", "truth", "raw image")
    alone = [
        f"{name} (no {word})"
        for name in sorted(names)
        for side, word in zip(sides, words, strict=False)
        if name not in side
    ]
    if alone:
        raise InputError(
            "each prediction needs its truth, and its raw image if raw images are given",
            found=", ".join(alone),
            where=f"{prediction!s} and {truth!s}",
            cure=f"equal names (endings {', '.join(ENDINGS[:5])}... are ignored)",
        )
    order = sorted(names, key=lambda name: natural(Path(name)))
    return [Pair(name, *(side[name] for side in sides)) for name in order]


def _one_of_each(
    sides: list[dict[str, Files]], sources: list[VolumeSource]
) -> list[dict[str, Files]]:
    """If one side was given as a single file, use the file of the same name on the other sides."""
    merged = [side if len(side) == 1 else _as_trees(side) for side in sides]
    single = [len(side) == 1 and not _is_group(s) for side, s in zip(sides, sources, strict=True)]
    if not any(single) or any(len(side) != 1 for side in merged):
        return sides
    name = next(iter(sides[single.index(True)]))
    return [{name: next(iter(side.values()))} for side in merged]


def _is_group(source: VolumeSource) -> bool:
    """Return whether a path stands for several named files."""
    if not is_path(source):
        return False
    path = Path(str(source).split("::")[0])
    one = (path / "cube.json").exists() or (path / TRACE).exists()
    if (path / TESTSET).exists():
        return True
    return path.is_dir() and not one and find_volumes(path, images=False) != [source]


def _as_trees(side: dict[str, Files]) -> dict[str, Files]:
    """Take a folder that only contains trees as the trees of one volume."""
    if any(files.volume is not None for files in side.values()):
        return side
    return {"trees": Files(None, tuple(t for files in side.values() for t in files.trees))}


def _collect(source: VolumeSource, parts: tuple[str, ...]) -> dict[str, Files]:
    """List the files at a path, by name."""
    path = Path(str(source).split("::")[0]) if is_path(source) else Path("array")
    if not is_path(source) or remote_path(source):
        return {_name(path): Files(source)}
    if not path.exists():
        raise InputError(
            "the files to compare must exist",
            found="nothing there",
            where=str(path),
            cure="the path",
        )
    if path.is_file():
        tree = path.suffix.lower() == TREE_SUFFIX
        return {_name(path): Files(None, (path,)) if tree else Files(source)}
    if (path / "cube.json").exists():
        files = [path / CUBE[part] for part in parts] or [Path(prediction_of(path))]
        return {path.name: _files(files)}
    if (path / TESTSET).exists():
        cubes = sorted(file.parent for file in path.glob("*/cube.json"))
        return {name: f for cube in cubes for name, f in _collect(cube, parts).items()}
    if (path / TRACE).exists():
        return {path.name: Files(None, tuple(_trees(path)))}
    folders = [path / part for part in parts if (path / part).is_dir()] or [path]
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for file in _volumes(folder) + _trees(folder):
            found.setdefault(_name(file), []).append(file)
    if not found:
        raise InputError(
            "a folder to compare contains volumes or SWC files",
            found="neither",
            where=str(path),
        )
    return {name: _files(files) for name, files in found.items()}


def _volumes(folder: Path) -> list[Path]:
    if not any(is_volume(f) for f in [folder, *folder.iterdir()]):
        return []
    return [Path(volume) for volume in find_volumes(folder, images=False)]


def _trees(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() == TREE_SUFFIX)


def _files(files: list[Path]) -> Files:
    trees = tuple(f for f in files if f.suffix.lower() == TREE_SUFFIX)
    volumes = [f for f in files if f not in trees]
    if len(volumes) > 1 or len(trees) > 1:
        first, second = (volumes if len(volumes) > 1 else trees)[:2]
        raise InputError(
            "each name stands for one file",
            found=f"{first.name} and {second.name}",
            where=str(first.parent),
            cure="separate folders",
        )
    return Files(volumes[0] if volumes else None, trees)


def _name(path: Path) -> str:
    name = stem_of(path)
    for ending in ENDINGS:
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name
