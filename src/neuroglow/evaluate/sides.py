"""An opened pair: files that match in shape, voxel size and position."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, SettingsError
from neuroglow.evaluate.pairs import Files, Pair
from neuroglow.evaluate.settings import EvaluateSettings
from neuroglow.files.record import inverted_as_said
from neuroglow.files.remarks import remark
from neuroglow.files.writing import hash_of
from neuroglow.formats.opening import open_volume
from neuroglow.space.alike import check_alike
from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import Volume, VoxelSize
from neuroglow.trees.drawn_trees import place_trees
from neuroglow.trees.place import NOWHERE, Place, cut_alike, place_of
from neuroglow.trees.swc import Tree, join_trees, parse_swc
from neuroglow.trees.swc_unit import WORDS, SwcUnit, agreed_unit, refuse_endless, scaled

__all__ = ["Case", "open_case", "refuse_idle"]

Floats = NDArray[np.float64]

NANOMETRES = {1e-3: "those of the prediction", 1e3: "those of the truth"}
"""Factors that bring a prediction close to the truth, and whose unit each one implies."""

NEAR = 0.1
"""Distance to the truth, relative to the truth's longest side, within which a node is near it."""


@dataclass
class Case:
    """A pair whose files match; shape is None if neither side is a volume.

    sized: whether a voxel size is known; otherwise lengths are in voxels.
    notes: assumptions, for the report. Trees are in micrometres.
    """

    name: str
    shape: Zyx | None
    unit_um: VoxelSize
    prediction: Volume | None
    truth: Volume | None
    raw: Volume | None
    found_tree: Tree | None
    true_tree: Tree | None
    notes: list[str] = field(default_factory=list)
    sized: bool = True


def open_case(pair: Pair, settings: EvaluateSettings) -> Case:
    """Open the files of a pair; only trees are read.

    Raises InputError if shapes or voxel sizes differ, or if trees lie elsewhere.
    """
    prediction, truth = (_open(side, settings) for side in (pair.prediction, pair.truth))
    inverted, notes = inverted_as_said(settings.invert, pair.prediction.volume)
    raw = _open(pair.raw, settings, invert=inverted)
    notes = (notes if raw else []) + _same(pair)
    prediction, truth, raw = _cut([prediction, truth, raw], notes)
    known = [v for v in (prediction, truth, raw) if v is not None]
    check_alike(known, "prediction, truth and raw image", cure="crop or resample one of them")
    size = next((v.voxel_size_um for v in known if v.voxel_size_um), None)
    shape = known[0].shape if known else None
    within = _Within(shape, size or settings.voxel_size)
    found, true = (
        _open_trees(side, within, place, settings, notes)
        for side, place in zip((pair.prediction, pair.truth), _places(known, settings), strict=True)
    )
    _refuse_two_units(within, pair.name)
    if found and true and shape is None:
        notes += _check_near(found, true, pair.name)
    sized = bool(size or settings.voxel_size)
    if not sized and shape is None and "voxel" not in within.units:
        sized = True
        notes.append(_say_unit(within.units[-1] if within.units else "um", true or found))
    elif not sized:
        notes.append("the voxel size is not known: lengths are in voxels")
    unit = size or settings.voxel_size or (1.0, 1.0, 1.0)
    return Case(pair.name, shape, unit, prediction, truth, raw, found, true, notes, sized)


def decides(cases: Sequence[Case], settings: EvaluateSettings) -> dict[str, str]:
    """Return everything that determines what the blocks of an evaluation find."""
    how = {"workers", "scheduler", "time_limit", "pictures", "trace"}
    inputs = [
        (
            case.name,
            case.unit_um,
            [v and v.identity for v in (case.prediction, case.truth, case.raw)],
            [_tree_hash(tree) for tree in (case.found_tree, case.true_tree)],
        )
        for case in cases
    ]
    return {
        "settings": hash_of(settings.model_dump(mode="json", exclude=how)),
        "input": hash_of(inputs),
        "grid": f"blocks of {settings.block}",
    }


def _tree_hash(tree: Tree | None) -> str:
    if tree is None:
        return ""
    return hashlib.sha256(tree.points.tobytes() + tree.radii.tobytes()).hexdigest()


def refuse_idle(cases: Sequence[Case], settings: EvaluateSettings) -> None:
    """Refuse options that would have no effect, such as a legend of trees.

    Raises SettingsError.
    """
    uses = [
        ("--label-map", settings.label_map, "the truth has labels", "truth"),
        ("--prediction-map", settings.prediction_map, "the prediction has labels", "prediction"),
        ("--trace", settings.trace, "the truth has trees (SWC)", "true_tree"),
    ]
    for option, given, rule, needed in uses:
        if given and all(getattr(case, needed) is None for case in cases):
            raise SettingsError(
                f"{option} is given where {rule}",
                found="none in any of these",
                where=cases[0].name,
                cure=f"leave out {option}",
            )


def _same(pair: Pair) -> list[str]:
    """Say at once that a volume is compared with itself."""
    found, true = pair.prediction.volume, pair.truth.volume
    if not (isinstance(found, str | Path) and isinstance(true, str | Path)):
        return []
    if Path(found).resolve() != Path(true).resolve():
        return []
    said = "prediction and truth are the same file, so that every score is perfect"
    remark(f"{pair.name}: {said}")
    return [said]


def _say_unit(unit: SwcUnit, tree: Tree | None) -> str:
    """Describe the unit in which trees without a volume were read."""
    across = _side(tree.points) if tree else 0.0
    return f"trees read as {WORDS[unit]}, {across:g} um across; a voxel is assumed to be 1 um"


def _refuse_two_units(within: _Within, name: str) -> None:
    """Refuse trees in voxels and in micrometres if no voxel size converts them."""
    if within.size is None and "voxel" in within.stated and len(within.stated) > 1:
        raise InputError(
            "trees in voxels are compared with trees in micrometres by the voxel size",
            found="trees of both, by their headers, and no voxel size",
            where=name,
            cure="--voxel-size Z,Y,X",
        )


def _check_near(found: Tree, true: Tree, name: str) -> list[str]:
    """Report trees that lie far from each other; refuse them if another unit would explain it."""
    if not len(found.points) or not _side(true.points):
        return []
    apart = _apart(found.points, true.points)
    for factor, word in NANOMETRES.items():
        scaled_points = found.points * factor
        alike = 0.2 < _side(scaled_points) / _side(true.points) < 5
        if alike and 5 * np.median(_apart(scaled_points, true.points)) < np.median(apart):
            raise InputError(
                "prediction and truth use the same unit",
                found=f"they lie apart, but not if {word} are read as nanometres",
                where=name,
                cure="convert one of them; --swc-unit gives the unit of both",
            )
    return ["no node of the prediction lies near the truth"] if apart.min() > NEAR else []


def _apart(points: Floats, others: Floats) -> Floats:
    """Return the distance of points (n, 3) to the nearest other, over the others' longest side."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(others).query(points)[0] / _side(others))


def _side(points: Floats) -> float:
    """Return the longest side of the bounding box of points (n, 3); 0 if there are none."""
    return float(np.ptp(points, axis=0).max()) if len(points) else 0.0


def _open(side: Files, settings: EvaluateSettings, *, invert: bool = False) -> Volume | None:
    if side.volume is None:
        return None
    return open_volume(side.volume, voxel_size_um=settings.voxel_size, invert=invert)


@dataclass
class _Within:
    """The volume that trees are placed in: its shape, None without one, and its voxel size.

    units: of the trees that were read where there is none. stated: those that headers state.
    """

    shape: Zyx | None
    size: VoxelSize | None
    units: list[SwcUnit] = field(default_factory=list)
    stated: set[SwcUnit] = field(default_factory=set)


def _cut(volumes: Sequence[Volume | None], notes: list[str]) -> list[Volume | None]:
    """Read of each volume the part in which the smallest one lies, and note it."""
    cut, said = cut_alike([volume for volume in volumes if volume is not None])
    notes += said
    left = iter(cut)
    return [None if volume is None else next(left) for volume in volumes]


def _places(known: Sequence[Volume], settings: EvaluateSettings) -> tuple[Place, Place]:
    """Find where the volumes lie in a larger one: for trees of the prediction, and of the truth.

    An offset that is asked for is that of the truth; predicted trees may be of the volume itself.
    """
    if settings.offset is not None and known:
        asked = place_of(known[0], settings.offset)
        return replace(asked, asked=False), asked
    found = next((p for p in map(place_of, known) if p != NOWHERE), NOWHERE)
    return found, found


def _open_trees(
    side: Files, within: _Within, place: Place, settings: EvaluateSettings, notes: list[str]
) -> Tree | None:
    """Read trees, in micrometres; check that they lie in the volume, if there is one."""
    paths = side.trees
    if not paths:
        return None if side.volume is not None else join_trees([])
    trees = [parse_swc(path) for path in paths]
    if within.shape is None:
        return join_trees(
            [
                _alone(tree, path, within, settings.swc_unit, notes)
                for tree, path in zip(trees, paths, strict=True)
            ]
        )
    placed, assumed = place_trees(
        trees,
        paths,
        within.shape,
        within.size,
        settings.swc_unit,
        radius_um=settings.swc_radius_um,
        place=place,
    )
    notes += assumed
    return join_trees(placed)


def _alone(
    tree: Tree, path: Path, within: _Within, asked: SwcUnit | None, notes: list[str]
) -> Tree:
    """Give a tree in micrometres where there is no volume that it must lie in."""
    unit, said = agreed_unit(tree, asked, path.name)
    notes += [*tree.notes, *said]
    within.units.append(unit)
    within.stated |= {unit} if unit == tree.unit else set()
    whole = scaled(tree, unit, within.size or (1.0, 1.0, 1.0))
    refuse_endless(whole.points, str(path))
    return whole
