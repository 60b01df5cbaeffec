"""Units of length: all spellings found in files, in one table for all formats."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence

from neuroglow.files.remarks import remark
from neuroglow.space.volume import VoxelSize

__all__ = ["LEAST_UM", "MOST_UM", "is_no_unit", "micrometres_of", "read_voxel_size", "sizes_in_um"]

_SPELLINGS = {
    1e-4: "å angstrom angstroms ångström ångströms angström",
    1e-6: "pm picometer picometers picometre picometres",
    1e-3: "nm nanometer nanometers nanometre nanometres nanom",
    1.0: "µm um micron microns micrometer micrometers micrometre micrometres µ mu mum",
    1e3: "mm millimeter millimeters millimetre millimetres millim",
    1e4: "cm centimeter centimeters centimetre centimetres",
    1e5: "dm decimeter decimeters decimetre decimetres",
    1e6: "m meter meters metre metres",
    25400.0: 'in inch inches "',
    25.4: "mil thou",
}
_MICROMETRES = {word: factor for factor, words in _SPELLINGS.items() for word in words.split()}

_NO_UNIT = {"", "pixel", "pixels", "px", "voxel", "voxels", "none", "null", "unknown", "unit"}
_NO_UNIT |= {"arbitrary", "a.u.", "reference frame", "referenceframe", "dimensionless"}

UNKNOWN_UNIT = "no unit of length"

LEAST_UM, MOST_UM = 1e-6, 1e6
"""Limits for the side of a voxel: a picometre to a metre; anything else is a mistake."""


def micrometres_of(unit: object) -> float | None:
    """Return how many micrometres a unit is, in any spelling; None if it is not a length.

    Known: the words and signs of `_SPELLINGS` in any case, both micro signs, µ that was read in
    a wrong encoding (`Âµm`), its escapes (`\\u00B5m`, `&#181;m`), spaces around.
    """
    return _MICROMETRES.get(_plain(unit))


def is_no_unit(unit: object) -> bool:
    """Return whether a file states that it has no unit, as opposed to an unknown one."""
    return _plain(unit) in _NO_UNIT


def _plain(unit: object) -> str:
    text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit or "")
    for wrong in ("\\u00b5", "\\u00B5", "\\u03bc", "\\u03BC", "\\xb5", "&#181;", "&#xb5;"):
        text = text.replace(wrong, "µ")
    for wrong in ("&micro;", "Âµ", "Â\u03bc", "Î¼", "ï¿½", "\ufffd", "µ", "μ"):
        text = text.replace(wrong, "µ")
    text = text.replace("Ã…", "Å").replace("&#197;", "Å").strip(" \t\r\n\0")
    if text in ("M", "MM", "CM", "NM", "UM"):
        return text.lower()
    return unicodedata.normalize("NFC", text).lower().replace("μ", "µ")


def sizes_in_um(values: Sequence[object], units: Sequence[object]) -> VoxelSize | None:
    """Convert sizes zyx, with a unit each, to micrometres; None if one of them is unknown."""
    sizes = []
    for value, unit in zip(values, units, strict=True):
        factor, number = micrometres_of(unit), _number(value)
        if factor is None or number is None or not LEAST_UM <= number * factor <= MOST_UM:
            return None
        sizes.append(number * factor)
    return sizes[0], sizes[1], sizes[2]


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def read_voxel_size(
    sizes: Mapping[str, object], units: Mapping[str, object] | object, where: str
) -> VoxelSize | None:
    """Read a voxel size (zyx, micrometres) from a file's values; warn if it cannot be read.

    sizes: by axis, `z`, `y`, `x`; a missing axis is not stated. units: one, or by axis.
    None if the file states no size, which causes no warning, or none that is understood.
    """
    by_axis = units if isinstance(units, Mapping) else dict.fromkeys("zyx", units)
    stated = [axis for axis in "zyx" if sizes.get(axis) is not None]
    if not stated:
        return None
    missing = [axis for axis in "zyx" if axis not in stated]
    unit = [by_axis.get(axis) for axis in "zyx"]
    if not missing:
        found = sizes_in_um([sizes[axis] for axis in "zyx"], unit)
        if found:
            return found
    if all(is_no_unit(u) for u in unit) and all(_number(sizes[a]) in (1.0, None) for a in stated):
        return None  # a size in pixels states nothing
    values = " x ".join(f"{sizes.get(axis, '?')}" for axis in "zyx")
    words = ", ".join(dict.fromkeys(str(u) for u in unit if u not in (None, ""))) or UNKNOWN_UNIT
    remark(
        f"{where}: its voxel size cannot be read (z, y, x: {values}; {words}); lengths are in "
        "voxels "
        "unless --voxel-size Z,Y,X gives it in micrometres"
    )
    return None
