"""Checking of traces: the steps of each are kept in the studio's own folder, and can be undone."""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, OutputError
from neuroglow.files.names import TREE_SUFFIX
from neuroglow.files.writing import appearing, hash_of
from neuroglow.skeleton.doubts import find_doubts, read_uncertain
from neuroglow.skeleton.editing import Forest, forest_of, roots_of, tree_of
from neuroglow.skeleton.proofreading import Proofreading, Step, decision_rows
from neuroglow.studio.inside import Inside
from neuroglow.studio.origins import origin_file, origins_of, write_origins
from neuroglow.studio.refusals import missing
from neuroglow.trace.files import TREE, trace_paths
from neuroglow.trees.swc import Tree, join_trees, parse_swc, write_swc

__all__ = ["Check", "Checks", "Frame", "read_trees", "scale_of", "tree_payloads"]

Floats = NDArray[np.float64]

OPEN = 8
"""Traces that stay open."""

NM, UM = 0.001, 1.0

LARGEST_SWC = 200_000_000
"""Bytes of the largest trace that is opened."""


@dataclass(frozen=True)
class Frame:
    """The volume of a trace, zyx, micrometres: its voxel size, and its last voxel.

    origin: where its first voxel lies in the volume of the trees, if it is a crop of that.
    """

    voxel: tuple[float, float, float] = (1.0, 1.0, 1.0)
    last: tuple[float, float, float] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_crop(self) -> bool:
        """Return whether the trees reach beyond it."""
        return any(self.origin)


@dataclass(frozen=True)
class Check:
    """One trace under correction. scale: micrometres per unit of its trees, zyx.

    token: names the trees as they are now, so that a page knows whether it shows them.
    """

    path: str
    work: Proofreading
    scale: Floats
    frame: Frame
    stamp: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def points(self) -> Floats:
        """The nodes, zyx, micrometres from the first voxel of the frame's volume."""
        return np.asarray(self.work.forest.points * self.scale - np.array(self.frame.origin))

    def seen(self, points: Floats) -> NDArray[np.bool_]:
        """Return which points, as in `points`, lie in the volume of the frame, if it is a crop."""
        if not self.frame.is_crop or self.frame.last is None:
            return np.ones(len(points), bool)
        size = np.array(self.frame.voxel)
        return np.asarray(
            ((points >= -size) & (points <= np.array(self.frame.last) + size)).all(axis=1)
        )

    def payloads(self, wanted: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """Return trees for the page, by default all that the volume shows."""
        forest = self.work.forest
        if wanted is None and self.frame.is_crop:
            wanted = np.unique(roots_of(forest)[self.seen(self.points) & forest.alive]).tolist()
        return tree_payloads(forest, self.scale, wanted, self.frame.origin)


def read_trees(inside: Inside, relative: str) -> Tree:
    """Read the trees of an SWC file, or of the folder of a trace, as one Tree."""
    place = inside.find(relative)
    files = [place] if place.is_file() else sorted(f for f in place.iterdir() if is_tree(f))
    if not files or not all(f.suffix.lower() == TREE_SUFFIX for f in files):
        raise missing(relative, "no trees")
    for file in files:
        inside.check(file, relative)
    if sum(file.stat().st_size for file in files) > LARGEST_SWC:
        raise InputError(
            f"a trace that is checked has at most {LARGEST_SWC:,} bytes",
            found="more",
            where=relative,
            cure="trace a region of it (`neuroglow trace --region`)",
        )
    trees = [parse_swc(file) for file in files]
    return trees[0] if len(trees) == 1 else join_trees(trees)


def is_tree(file: Path) -> bool:
    """Return whether a file is one of the trees of a trace's folder."""
    return TREE.fullmatch(file.name) is not None


def tree_payloads(
    forest: Forest,
    scale: Floats,
    wanted: Iterable[int] | None = None,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
) -> list[dict[str, Any]]:
    """Return trees for the page: nodes [x, y, z, radius, parent, type] in micrometres.

    id: the number of the root. ids: of the nodes. wanted: roots, by default all. origin: zyx,
    micrometres, from where coordinates are counted.
    """
    if not len(forest.alive):
        return []
    roots, shift = roots_of(forest), np.asarray(origin, float)
    order = np.argsort(roots, kind="stable")
    names, first = np.unique(roots[order], return_index=True)
    chosen = None if wanted is None else set(wanted)
    found = []
    for root, own in zip(names.tolist(), np.split(order, first[1:]), strict=True):
        if root >= 0 and (chosen is None or root in chosen):
            found.append(_payload(forest, scale, root, own, shift))
    return found


def _payload(
    forest: Forest, scale: Floats, root: int, own: NDArray[np.int64], origin: Floats
) -> dict[str, Any]:
    parents = forest.parents[own]
    index = np.where(parents < 0, -1, np.searchsorted(own, parents))
    points = forest.points[own] * scale - origin
    apart = np.linalg.norm(points - points[np.maximum(index, 0)], axis=1)[index >= 0]
    radii = forest.radii[own] * float(scale.mean())
    rows = zip(points.round(3), radii.round(3), index, forest.kinds[own], strict=True)
    nodes = [
        [float(p[2]), float(p[1]), float(p[0]), float(radius), int(parent), int(kind)]
        for p, radius, parent, kind in rows
    ]
    return {"id": root, "nodes": nodes, "ids": own.tolist(), "length": float(apart.sum())}


@dataclass
class Checks:
    """The traces that are checked in a folder. kept: where their steps are kept."""

    inside: Inside
    kept: Callable[[], Path]
    _open: OrderedDict[str, Check] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def open(self, path: str, frame: Frame | None = None) -> Check:
        """Open a trace, with the steps that were taken before.

        frame: its volume, by default the one of the last time: ends at its faces are no doubts.
        Raises RefusedError if it is not there, InputError for a file that is no SWC.
        """
        place = self.inside.find(path)
        with self._lock:
            kept = self._open.get(path)
            stamp = hash_of(_stamp(place))
            if kept is not None and kept.stamp == stamp and frame in (None, kept.frame):
                return kept
            check = self._begin(path, place, frame, stamp)
            if frame is not None:
                self._write_steps(check)
            self._keep(check)
            return check

    def _begin(self, path: str, place: Path, given: Frame | None, stamp: str) -> Check:
        tree = read_trees(self.inside, path)
        forest = forest_of(tree)
        kept = self._read(path, forest)
        frame = given or Frame(**{name: tuple(v) for name, v in kept.get("frame", {}).items() if v})
        scale = scale_of(tree, frame)
        extent = None
        if frame.last is not None and not frame.is_crop:
            extent = (np.zeros(3), np.array(frame.last) / scale)
        doubts = find_doubts(forest, read_uncertain(trace_paths(place)["decisions"]), extent)
        work = Proofreading.of(forest, doubts, kept.get("steps", ()))
        return Check(path, replace(work, undone=kept.get("undone", ())), scale, frame, stamp)

    def change(self, path: str, act: Callable[[Proofreading], Proofreading]) -> tuple[Check, Check]:
        """Change a trace that is open; returns it as it was and as it is."""
        with self._lock:
            before = self.open(path)
            after = replace(before, work=act(before.work), token=secrets.token_hex(8))
            self._write_steps(after)
            self._keep(after)
            return before, after

    def save(self, path: str, out: str) -> tuple[Path, Path]:
        """Save the corrected trees, and the list of decisions, as new files.

        Raises OutputError if one exists or is no SWC file, WriteError.
        """
        with self._lock:
            check = self.open(path)
            swc = self.inside.place(out)
            table = swc.with_name(f"{swc.stem}_checked.csv")
            for other in (table, origin_file(swc)):
                self.inside.check(other, out)
            _refuse(swc, table, origin_file(swc))
            comment = (
                f"neuroglow {version('neuroglow')}: {path}, corrected by hand in "
                f"{len(check.work.steps)} steps; {table.name} lists the decisions"
            )
            with appearing(table) as partial:
                partial.write_text(decision_rows(check.work), encoding="utf-8")
            with appearing(swc) as partial:
                write_swc(tree_of(check.work.forest), partial, comment=comment)
            before = origins_of(self.inside, self.inside.find(path), "trees")
            write_origins(swc, [path, *before])
            return swc, table

    def _keep(self, check: Check) -> None:
        self._open[check.path] = check
        self._open.move_to_end(check.path)
        while len(self._open) > OPEN:
            self._open.popitem(last=False)

    def _steps_file(self, path: str) -> Path:
        return self.kept() / "checks" / f"{hash_of(path)[:24]}.json"

    def _read(self, path: str, traced: Forest) -> dict[str, Any]:
        """Read what was kept; nothing if the file now holds other trees."""
        try:
            kept = json.loads(self._steps_file(path).read_text(encoding="utf-8"))
            if kept["trees"] != _content(traced):
                return {}
            for name in ("steps", "undone"):
                kept[name] = tuple(Step.model_validate(step) for step in kept[name])
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {name: kept[name] for name in ("steps", "undone", "frame")}

    def _write_steps(self, check: Check) -> None:
        file = self._steps_file(check.path)
        file.parent.mkdir(parents=True, exist_ok=True)
        work = check.work
        kept = {
            "path": check.path,
            "trees": _content(work.traced),
            "frame": asdict(check.frame),
            "steps": [step.model_dump(mode="json") for step in work.steps],
            "undone": [step.model_dump(mode="json") for step in work.undone],
        }
        with appearing(file) as partial:
            partial.write_text(json.dumps(kept), encoding="utf-8")


def scale_of(tree: Tree, frame: Frame) -> Floats:
    """Return micrometres per unit of trees, zyx."""
    if tree.unit == "voxel":
        return np.array(frame.voxel)
    return np.full(3, NM if tree.unit == "nm" else UM)


def _stamp(place: Path) -> list[tuple[int, int]]:
    files = [place] if place.is_file() else sorted(f for f in place.iterdir() if is_tree(f))
    return [(f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _content(forest: Forest) -> str:
    """Hash what numbers of nodes refer to."""
    return hash_of(len(forest.parents), forest.parents.tolist(), forest.points.round(3).tolist())


def _refuse(swc: Path, *others: Path) -> None:
    if swc.suffix != TREE_SUFFIX:
        raise OutputError(
            "corrected trees are saved as an SWC file",
            found=swc.suffix or "no ending",
            where=swc.name,
            cure=f"{swc.stem}.swc",
        )
    there = [path for path in (swc, *others) if path.exists()]
    if there:
        raise OutputError(
            "an existing file is not overwritten",
            found="it exists",
            where=there[0].name,
            cure="another name",
        )
    if not swc.parent.is_dir():
        raise missing(swc.parent.name)
