"""What the comments of an SWC file say of its coordinates: offset, scale and unit.

# OFFSET x y z        added to each node (Janelia Workstation, MouseLight)
# SCALE x y z         multiplies the coordinates, before the offset (Cannon et al. 1998)
# unit: nm            also with a number: `8 nanometer` (navis: # Meta: {"units": "8 nanometer"})
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.space.units import micrometres_of

__all__ = ["SwcComments", "SwcUnit", "read_comments"]

SwcUnit = Literal["um", "voxel", "nm"]

Floats = NDArray[np.float64]

_SAID = re.compile(r"#\s*(offset|scale|units?)\b[\s:=]+(.*)", re.I)
_META = re.compile(r"#\s*meta:\s*(\{.*\})", re.I)
_AMOUNT = re.compile(r"([-+.\deE]*)\s*(.*)")
_VOXELS = ("voxel", "voxels", "pixel", "pixels", "px", "vox")
_FACTORS: dict[float, SwcUnit] = {1.0: "um", 1e-3: "nm"}


@dataclass(frozen=True)
class SwcComments:
    """What is done to the coordinates of a file.

    scale, offset: zyx. unit: in which the points are then; None where the file does not say.
    notes: what was done, or could not be.
    """

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    unit: SwcUnit | None = None
    notes: tuple[str, ...] = ()

    def place(self, points: Floats, radii: Floats) -> tuple[Floats, Floats]:
        """Give points (n, 3; zyx) and radii as the comments mean them; radii by the least scale."""
        return points * self.scale + self.offset, radii * min(self.scale)


def read_comments(lines: Iterable[str], name: str, where: str) -> SwcComments:
    """Read the comments of a file.

    name: of the file, for notes. Raises InputError for two that contradict each other.
    """
    said: dict[str, str] = {}
    for line in lines:
        for word, text in _sayings(line):
            if not _agree(word, said.setdefault(word, text), text):
                raise InputError(
                    f"the header of an SWC file says {word} once",
                    found=f"{said[word]!r} and {text!r}",
                    where=where,
                    cure="leave the one that holds",
                )
    offset, off = _three(said, "offset", (0.0, 0.0, 0.0), "is added to its nodes")
    scale, scaled = _three(said, "scale", (1.0, 1.0, 1.0), "multiplies its coordinates")
    unit, factor, named = _unit(said.get("unit"))
    z, y, x = scale
    notes = tuple(f"{name}: {note}" for note in (*off, *scaled, *named))
    oz, oy, ox = (v * factor for v in offset)
    return SwcComments((z * factor, y * factor, x * factor), (oz, oy, ox), unit, notes)


def _sayings(line: str) -> Iterable[tuple[str, str]]:
    line = line.strip()
    if found := _SAID.match(line):
        yield found[1].lower().removesuffix("s"), found[2].partition(";")[0].strip()
    elif found := _META.match(line):
        try:
            meta = json.loads(found[1])
        except ValueError:
            return
        units = meta.get("units") if isinstance(meta, dict) else None
        if isinstance(units, str):
            yield "unit", units


def _agree(word: str, one: str, other: str) -> bool:
    """Tell whether two lines say the same; `voxel` and `voxels` do."""
    return one == other or (word == "unit" and _unit(one)[:2] == _unit(other)[:2])


def _three(
    said: dict[str, str], word: str, usual: tuple[float, float, float], done: str
) -> tuple[tuple[float, float, float], Sequence[str]]:
    """Read three numbers x y z, or one for all; give them zyx, and what to say of them."""
    if word not in said:
        return usual, ()
    text = said[word]
    numbers = [_number(cell) for cell in re.split(r"[\s,;]+", text.strip("()[] "))[:3]]
    known = [n for n in numbers if n is not None]
    if word == "scale" and len(numbers) == 1:
        known = known * 3
    if len(known) != 3 or (word == "scale" and min(known) <= 0):
        return usual, (f"its header says {word} {text}, which is not applied",)
    x, y, z = known
    if (z, y, x) == usual:
        return usual, ()
    return (z, y, x), (f"the {word} of its header {done}: x y z {text}",)


def _unit(text: str | None) -> tuple[SwcUnit | None, float, Sequence[str]]:
    """Read a unit: its name here, by what the coordinates are multiplied, and what to say."""
    if not text:
        return None, 1.0, ()
    amount, word = _AMOUNT.match(text).groups()  # type: ignore[union-attr]  # it matches any text
    number = _number(amount) if amount else 1.0
    word = word.strip().strip(".\"'()")
    if not number or number < 0:
        return None, 1.0, (f"its header says unit {text}, which is not applied",)
    by = "" if number == 1 else f", {number:g} of them"
    if word.lower() in _VOXELS:
        return "voxel", number, (f"its header says voxels{by}",)
    factor = micrometres_of(word)
    if factor is None:
        return None, 1.0, (f"its header says unit {text}, which is not known and not applied",)
    if factor in _FACTORS:
        unit = _FACTORS[factor]
        return unit, number, () if (unit, number) == ("um", 1) else (f"its header says {text}",)
    return "um", number * factor, (f"its header says {text}: turned into micrometres",)


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
