"""Layers of napari as data: (array, properties, kind) for volumes, trees and bridges.

Trees are tracks, one for each unbranched path: napari draws them fast, and colours them by any
property of their nodes. All nodes have the time 0, so that all of them are always shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroglow.formats.ome_zarr import OmeZarrVolume, coarser_levels
from neuroglow.space.volume import Volume, VoxelSize
from neuroglow.trees.swc import paths
from neuroglow.view.lazy import LazyArray
from neuroglow.view.scene import Scene
from neuroglow.view.skeletons import NamedTree, columns_of

__all__ = ["Layer", "layers_of", "lazy_levels", "tree_layers", "volume_layer"]

Layer = tuple[Any, dict[str, Any], str]

IN_MEMORY = 2**28
"""Voxels up to which a label is read at once: only then it can be painted on."""


def layers_of(scene: Scene) -> list[Layer]:
    """Return the layers of a scene, from the lowest to the highest."""
    layers = []
    for shown in scene.volumes:
        layer = volume_layer(shown.volume, shown.name, shown.kind, shown.levels)
        layers.append(moved(layer, np.multiply(shown.at, scene.size), scene.voxel_size_um))
    for layer in tree_layers(scene.trees, scene.trees_name, scene.voxel_size_um):
        layers.append(moved(layer, np.multiply(scene.raw.at, scene.size), scene.voxel_size_um))
    return layers


def moved(layer: Layer, origin: Any, size: VoxelSize | None) -> Layer:
    """Move a layer to a place (zyx), and give it the voxel size of its scene."""
    data, properties, kind = layer
    place = {"translate": [*([0.0] if kind == "tracks" else []), *np.asarray(origin).tolist()]}
    sized = {"scale": size or (1.0, 1.0, 1.0)} if kind in ("image", "labels") else {}
    return data, properties | place | sized | _units(size, kind), kind


def volume_layer(volume: Volume, name: str, kind: str, levels: tuple[float, float]) -> Layer:
    """Return the layer of a volume at the origin.

    kind: raw, probability or label. levels: values shown black and white; unused for a label.
    """
    metadata = {"neuroglow": {"source": volume.name, "kind": kind}}
    size = volume.voxel_size_um
    properties: dict[str, Any] = {
        "name": name,
        "metadata": metadata,
        "scale": size or (1.0, 1.0, 1.0),
    }
    if kind == "label":
        lazy = LazyArray(volume)
        data = np.asarray(lazy) if lazy.size <= IN_MEMORY else lazy
        return data, properties | _units(size, "labels"), "labels"
    coarser = lazy_levels(volume)
    properties |= {"multiscale": len(coarser) > 1, "contrast_limits": levels, "colormap": "gray"}
    if kind == "probability":
        properties |= {"colormap": "inferno", "blending": "additive"}
    array = coarser if len(coarser) > 1 else coarser[0]
    return array, properties | _units(size, "image"), "image"


def lazy_levels(volume: Volume) -> list[LazyArray]:
    """Return a volume and, of an OME-Zarr, its coarser levels."""
    coarser = coarser_levels(volume) if isinstance(volume, OmeZarrVolume) else []
    return [LazyArray(volume), *map(LazyArray, coarser)]


def tree_layers(trees: Sequence[NamedTree], name: str, size: VoxelSize | None) -> list[Layer]:
    """Return trees as tracks, and bridges, if there are any, as points; places in um."""
    if not trees:
        return []
    tables = [_nodes_of(tree) for tree in trees]
    first = np.cumsum(
        [0, *(int(table["track"][-1]) + 1 for table in tables if len(table["track"]))]
    )
    track = np.concatenate([t["track"] + n for t, n in zip(tables, first, strict=False)])
    points = np.concatenate([table["points"] for table in tables])
    rows = np.column_stack([track, np.zeros(len(track)), points])
    features = {
        key: np.concatenate([table[key] for table in tables])
        for key in ("tree", "radius", "type", "probability", "bridge")
    }
    drawn = {"name": name, "features": features, "color_by": "tree", "tail_width": 3}
    drawn |= {"blending": "translucent_no_depth"}
    metadata = {"neuroglow": {"kind": "trees", "names": [t.name for t in trees]}}
    layers: list[Layer] = [
        (rows, drawn | {"metadata": metadata, "colormap": "hsv"} | _units(size, "tracks"), "tracks")
    ]
    return layers + _bridges(features, points, name, size)


def _nodes_of(tree: NamedTree) -> dict[str, Any]:
    """Return the nodes of all unbranched paths of a tree, one path after the other."""
    found = paths(tree.tree)
    nodes = np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64)
    track = np.repeat(np.arange(len(found)), [len(path) for path in found])
    columns = {name: values[nodes] for name, values in columns_of(tree.tree).items()}
    number = np.full(len(nodes), float(tree.number))
    return columns | {"points": tree.tree.points[nodes], "track": track, "tree": number}


def _bridges(
    features: dict[str, Any], points: Any, name: str, size: VoxelSize | None
) -> list[Layer]:
    """Return a point in the middle of each bridge, with its number and mean probability."""
    numbers = features["bridge"].astype(np.int64)
    found = np.unique(numbers[numbers > 0]).tolist()
    if not found:
        return []
    nodes = [np.flatnonzero(numbers == number) for number in found]
    middles = np.array([points[own[len(own) // 2]] for own in nodes])
    table = {
        "bridge": found,
        "probability": [float(features["probability"][own].mean()) for own in nodes],
    }
    properties = {
        "name": f"{name} bridges",
        "features": table,
        "face_color": "transparent",
        "border_color": "red",
        "size": 6 * min(size or (1.0,)),
    }
    return [(middles, properties | _units(size, "points"), "points")]


def _units(size: VoxelSize | None, kind: str) -> dict[str, Any]:
    """Return the units of a layer's axes; tracks have a time before them."""
    unit = "um" if size else "pixel"
    return {"units": (*(("pixel",) if kind == "tracks" else ()), unit, unit, unit)}
