"""Answers of checking: the frame of a trace, its places in order, and the trees that changed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.files.tables import plain
from neuroglow.skeleton.editing import Forest, roots_of
from neuroglow.studio.checking import Check, Frame, read_trees
from neuroglow.studio.placing import origin_of_trees
from neuroglow.studio.studio import Studio

__all__ = ["changed", "frame_of", "state_of"]


def frame_of(studio: Studio, path: str, volume: str) -> Frame | None:
    """Return the frame of a volume, if one is named; of a crop, with its place in the trees."""
    if not volume:
        return None
    shown = studio.volumes.show(volume)
    voxel = shown.voxel_size_um or (1.0, 1.0, 1.0)
    z, y, x = ((n - 1) * size for n, size in zip(shown.levels[0].shape, voxel, strict=True))
    frame = Frame(voxel, (z, y, x))
    origin, _ = origin_of_trees(studio, path, read_trees(studio.inside, path), shown)
    z, y, x = origin.tolist()
    return replace(frame, origin=(z, y, x))


def state_of(check: Check) -> dict[str, Any]:
    """Return the places that the volume of a check shows, in order, and the steps so far."""
    work = check.work
    decided, every = work.decided(), work.places()
    at = np.reshape([doubt.place for doubt in every], (-1, 3)) * check.scale
    at -= np.array(check.frame.origin)
    seen = check.seen(at)
    places = []
    for doubt, (z, y, x) in zip(itertools.compress(every, seen), at[seen].tolist(), strict=True):
        step = decided.get(doubt.name)
        places.append(
            {
                "name": doubt.name,
                "kind": doubt.kind,
                "at": [x, y, z],
                "node": doubt.node,
                "probability": doubt.probability,
                "said": doubt.said,
                "decision": step.decision if step else "open",
                "note": step.note if step else "",
                "there": doubt.node < 0 or bool(work.forest.alive[doubt.node]),
            }
        )
    return {
        "path": check.path,
        "token": check.token,
        "scale": check.scale.tolist(),
        "origin": check.frame.origin,
        "places": plain(places),
        "elsewhere": int((~seen).sum()),
        "steps": len(work.steps),
        "undone": len(work.undone),
    }


def changed(before: Check, after: Check) -> dict[str, Any]:
    """Return the trees that differ, and the numbers of those that are gone.

    before: the token of the trees from which they differ.
    """
    old, new = before.work.forest, after.work.forest
    count = max(len(old.alive), len(new.alive))
    a, b = _padded(old, count), _padded(new, count)
    nodes = np.flatnonzero((a != b).any(axis=1))
    former, now = (_roots(forest, nodes) for forest in (old, new))
    now |= {root for root in former if new.alive[root] and new.parents[root] < 0}
    found = {"trees": after.payloads(now), "gone": sorted(former - now), "before": before.token}
    return found | state_of(after)


def _padded(forest: Forest, count: int) -> NDArray[np.float64]:
    """Return all that is drawn of a node as a row; nodes that do not exist are zeros."""
    parts = (forest.points, forest.radii, forest.kinds, forest.parents, forest.alive)
    rows = np.column_stack(parts).astype(np.float64)
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]))])


def _roots(forest: Forest, nodes: NDArray[np.int64]) -> set[int]:
    roots = roots_of(forest)[nodes[nodes < len(forest.alive)]]
    return set(roots[roots >= 0].tolist())
