"""The metadata of an OME-Zarr: which image it holds, its axes, voxel size and position.

OME-NGFF 0.1 to 0.5; containers of bioformats2raw, plates and wells of high-content screening.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroglow.errors import InputError
from neuroglow.files.remarks import listed, remark
from neuroglow.files.remote import Place
from neuroglow.formats.zarr_arrays import open_array, stored
from neuroglow.formats.zarr_chunks import attributes_of
from neuroglow.space.axes import letters_of, unnamed_axes
from neuroglow.space.geometry import Zyx
from neuroglow.space.units import read_voxel_size
from neuroglow.space.volume import VoxelSize

if TYPE_CHECKING:
    import zarr

__all__ = [
    "ZarrImage",
    "image_attributes",
    "image_here",
    "image_in",
    "level_names",
    "transforms_of",
]


@dataclass(frozen=True)
class ZarrImage:
    """One array of a zarr store, and its known properties."""

    group: Place
    array: str
    letters: str
    voxel_size_um: VoxelSize | None = None
    origin_vox: Zyx = (0, 0, 0)


def image_in(path: Place, node: zarr.Array[Any] | zarr.Group) -> ZarrImage:
    """Find the volume that a path into a zarr store stands for.

    An array of an OME-Zarr image has the axes and the size of its level. From a container or plate
    the only image is taken. Raises InputError if there is none, or if there are several.
    """
    import zarr  # takes long

    if isinstance(node, zarr.Array):
        return _level_of_parent(path) or _bare(path, node)
    attributes = _ome(node)
    if attributes.get("multiscales"):
        return _image(path, attributes["multiscales"], None)
    images = _images_below(node, attributes)
    if len(images) == 1:
        remark(f"{path}: the one image in it, {images[0]}, is opened")
        return image_in(path / images[0], zarr.open(stored(path / images[0]), mode="r"))
    raise _none_or_several(path, node, images)


def image_here(path: Path) -> ZarrImage | None:
    """Read the image of an OME-Zarr 0.5 on this machine; None: only zarr can tell."""
    scales = _inner(attributes_of(path) or {}).get("multiscales")
    return _image(path, scales, None) if scales else None


def image_attributes(path: Place) -> dict[str, Any]:
    """Return what the group at a place says of an image; nothing if there is an array."""
    found = attributes_of(path) if isinstance(path, Path) else None
    if found is None:
        import zarr  # takes long

        node = zarr.open(stored(path), mode="r")
        found = dict(node.attrs.asdict()) if isinstance(node, zarr.Group) else {}
    return _inner(found)


def level_names(path: Place) -> list[str]:
    """Name the levels of the first image of a group, finest first; none of anything else."""
    scales = image_attributes(path).get("multiscales")
    return [str(level["path"]) for level in scales[0]["datasets"]] if scales else []


def _ome(group: zarr.Group) -> dict[str, Any]:
    return _inner(group.attrs.asdict())


def _inner(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what attributes of a group say of an image: since 0.5 within `ome`."""
    inner = attributes.get("ome", attributes)
    return dict(inner) if isinstance(inner, Mapping) else {}


def _image(path: Place, multiscales: Any, array: str | None) -> ZarrImage:
    """Read one level, by default the finest, of the first multiscale image."""
    try:
        image = multiscales[0]
        levels = [level if isinstance(level, Mapping) else {} for level in image["datasets"]]
        level = next(v for v in levels if array in (None, v["path"]))
        count = open_array(path / level["path"]).ndim
        axes = _axes(image, count)
        letters = letters_of([axis["name"] for axis in axes], str(path))
        transforms = [*_transforms(level), *_transforms(image)]
        scale = _scale(transforms, count)
        size = _voxel_size(path, axes, letters, scale) if scale else None
        origin = _origin(transforms, letters, scale or [1.0] * count)
    except StopIteration:
        raise _wrong(path, f"no level {array!r}") from None
    except (KeyError, TypeError, IndexError, ValueError, OSError) as error:
        raise _wrong(path, f"{type(error).__name__}: {error}") from None
    if len(multiscales) > 1:
        remark(f"{path}: the first of its {len(multiscales)} multiscale images is opened")
    return ZarrImage(path, str(level["path"]), letters, size, origin)


def _wrong(path: Place, found: str) -> InputError:
    return InputError(
        "the multiscales metadata must follow OME-NGFF 0.4 or 0.5",
        found=found[:200],
        where=str(path),
    )


def _axes(image: Mapping[str, Any], count: int) -> list[Mapping[str, Any]]:
    """Return the axes: mappings since 0.4, names in 0.3, always t, c, z, y, x before."""
    given = image.get("axes") or list("tczyx"[max(0, 5 - count) :])
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in given]
    if len(axes) != count:
        raise ValueError(f"{len(axes)} axes, but an array of {count}")
    return axes


def _transforms(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(part.get("coordinateTransformations") or [])


def _scale(transforms: Sequence[Mapping[str, Any]], count: int) -> list[float] | None:
    """Multiply the scales of the level and of the whole image; None if none is stated."""
    scales = [t["scale"] for t in transforms if t.get("type") == "scale"]
    if any(t.get("type") not in ("scale", "translation", "identity") for t in transforms):
        scales = []  # rotated, sheared, or in a separate file: no size is stated
    if any(len(scale) != count for scale in scales):
        raise ValueError(f"a scale that is not of {count} axes")
    return [math.prod(float(s[i]) for s in scales) for i in range(count)] if scales else None


def _voxel_size(
    path: Place, axes: Sequence[Mapping[str, Any]], letters: str, scale: Sequence[float]
) -> VoxelSize | None:
    spatial = {a.lower(): i for i, a in enumerate(letters) if a in "ZYX"}
    sizes = {a: scale[i] for a, i in spatial.items()}
    return read_voxel_size(sizes, {a: axes[i].get("unit") for a, i in spatial.items()}, str(path))


def transforms_of(factors: Zyx, size: Any, origin: Any) -> list[dict[str, Any]]:
    """Describe a level with `factors` voxels in each of its own: its scale and its position.

    size: of the finest voxels; origin: the centre of the first one; both zyx, in the same unit.
    """
    scale = [float(s * f) for s, f in zip(size, factors, strict=True)]
    shift = [float(o + (f - 1) / 2 * s) for o, f, s in zip(origin, factors, size, strict=True)]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]


def _origin(transforms: Sequence[Mapping[str, Any]], letters: str, scale: Sequence[float]) -> Zyx:
    """Return the position of the first voxel, in whole voxels: of a part cropped from a volume."""
    shifts = [t["translation"] for t in transforms if t.get("type") == "translation"]
    found = {}
    for i, letter in enumerate(letters):
        voxels = sum(float(s[i]) for s in shifts) / scale[i] if scale[i] else 0.0
        found[letter] = round(voxels) if math.isfinite(voxels) else 0
    return found.get("Z", 0), found.get("Y", 0), found.get("X", 0)


def _level_of_parent(path: Place) -> ZarrImage | None:
    """Find the OME-Zarr image that an array is a level of."""
    import zarr  # takes long

    above: list[Place] = [*path.parents][:3]
    for parent in above:
        if not any((parent / name).exists() for name in ("zarr.json", ".zattrs")):
            continue
        try:
            group = zarr.open_group(stored(parent), mode="r")
        except Exception:  # the folder above is not a store: the array stands for itself
            return None
        multiscales = _ome(group).get("multiscales")
        inner = _below(path, parent)
        levels = multiscales[0].get("datasets", []) if multiscales else []
        if any(level.get("path") == inner for level in levels):
            return _image(parent, multiscales, inner)
    return None


def _below(path: Place, parent: Place) -> str:
    """Return the part of a path below another, with slashes."""
    if isinstance(path, Path) and isinstance(parent, Path):
        return path.relative_to(parent).as_posix()
    return str(path)[len(str(parent)) :].strip("/")


def _bare(path: Place, array: zarr.Array[Any]) -> ZarrImage:
    """Read an array without an image: dimension_names of zarr 3, or xarray's in zarr 2."""
    names: Any = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    letters = letters_of(names, str(path)) if names else ""
    if len(letters) != array.ndim or set(letters) <= {"?"}:  # dim_0, dim_1: no names
        letters = unnamed_axes(array.shape, str(path))
    return ZarrImage(path, "", letters)


def _images_below(group: zarr.Group, attributes: Mapping[str, Any]) -> list[str]:
    """List the images of a container, plate or well by their paths."""
    if "plate" in attributes:
        wells = [str(well["path"]) for well in attributes["plate"].get("wells", [])]
        return [f"{well}/{image}" for well in wells for image in _fields(group, well)]
    if "well" in attributes:
        return [str(image["path"]) for image in attributes["well"].get("images", [])]
    if isinstance(attributes.get("labels"), list):
        return [str(name) for name in attributes["labels"]]
    found = [name for name, child in group.groups() if _ome(child).get("multiscales")]
    return sorted(found, key=lambda name: (len(name), name))


def _fields(plate: zarr.Group, well: str) -> list[str]:
    try:
        return [str(image["path"]) for image in _ome(plate[well])["well"]["images"]]  # type: ignore[arg-type]  # a well is a group
    except (KeyError, TypeError):
        return ["0"]


def _none_or_several(path: Place, group: zarr.Group, images: list[str]) -> InputError:
    if images:
        return InputError(
            "one image of a container must be chosen",
            found=f"{len(images)}: {listed(images)}",
            where=str(path),
            cure=f"{path / images[0]}, for example",
        )
    arrays = sorted(name for name, _ in group.arrays())
    return InputError(
        "an OME-Zarr image has multiscales in its metadata",
        found=f"a group without them; arrays in it: {listed(arrays) or 'none'}",
        where=str(path),
        cure=f"the path of one array: {path / arrays[0]}, for example" if arrays else "",
    )
