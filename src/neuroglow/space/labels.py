"""Labels as people have them: masks, legends and traced trees become 0, 1 and 2.

mask     any positive value is a neurite
legend   `1=background,2=neurite,4=ignore,0=ignore`: the meaning of each value (as in TrailMap,
         where few planes are labelled and the rest is ignored)
SWC      a tree is drawn with its calibre, with an ignored margin around it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, SettingsError
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Volume

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "LEGEND",
    "MASK_LEGEND",
    "NEURITE",
    "LabelReader",
    "Labels",
    "parse_label_map",
]


BACKGROUND, NEURITE, IGNORE = 0, 1, 2
"""The values of a label. IGNORE: not annotated, or too near, too dim or too crowded to decide;
it is excluded from all losses, scores and indicators."""

LEGEND = "0=background,1=neurite,2=ignore"
"""These values, as a legend."""

MASK_LEGEND = "0=background,1=neurite"
"""The values of a label without an ignored margin, and of a mask."""

MEANINGS = {"background": BACKGROUND, "neurite": NEURITE, "ignore": IGNORE}


def parse_label_map(text: str, option: str = "--label-map") -> dict[int, int]:
    """Read `1=background,2=neurite,0=ignore`; empty without a legend.

    option: where it was given, for messages.
    Raises SettingsError for another form, an unknown meaning, a duplicate value, or a
    legend without a neurite.
    """
    legend: dict[int, int] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        value, _, meaning = part.partition("=")
        if not value.strip().isdecimal() or meaning.strip() not in MEANINGS:
            raise _wrong_legend(repr(part), option)
        if int(value) in legend:
            raise _wrong_legend(f"{int(value)} twice", option)
        legend[int(value)] = MEANINGS[meaning.strip()]
    if legend and NEURITE not in legend.values():
        raise _wrong_legend("no value that means neurite", option)
    return legend


def _wrong_legend(found: str, option: str) -> SettingsError:
    given = f"{option} " if option.startswith("--") else ""
    return SettingsError(
        f"a legend is VALUE=MEANING separated by commas; a meaning is {', '.join(MEANINGS)}",
        found=found,
        where=option,
        cure=f"{given}1=background,2=neurite,4=ignore,0=ignore, for example",
    )


class Labels:
    """The label of one image, read by box: zyx, uint8, BACKGROUND, NEURITE or IGNORE.

    option: where the legend was given, for messages.
    """

    def __init__(
        self, volume: Volume, legend: Mapping[int, int], option: str = "--label-map"
    ) -> None:
        self._volume, self._legend, self._option = volume, legend, option
        self._positive: set[float] = set()

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a box. Raises InputError for a value that the legend does not name."""
        values = self._volume.read(box)
        label = _translate(values, self._legend, self._volume.name, self._option)
        if not self._legend and not self.is_doubtful and label.any():
            positive = values[label == NEURITE]
            self._positive |= {float(positive.min()), float(positive.max())}
        return label

    @property
    def is_doubtful(self) -> bool:
        """Return whether several positive values were found without a legend: all are neurite."""
        return len(self._positive) > 1


class LabelReader(Protocol):
    """Neurite, background and ignored voxels, read by box: zyx, uint8."""

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a box."""


def _translate(
    values: Array, legend: Mapping[int, int], where: str, option: str
) -> NDArray[np.uint8]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("the values of a label are numbers", found="NaN or infinite", where=where)
    if not legend:
        return (values > 0).astype(np.uint8)
    translated = np.full(values.shape, 255, np.uint8)
    for value, meaning in legend.items():
        translated[values == value] = meaning
    unknown = values[translated == 255]
    if unknown.size:
        first = float(unknown.flat[0])
        raise InputError(
            "the legend must name each value of a label",
            found=f"{first:g} in {unknown.size} voxels",
            where=where,
            cure=f"add {first:g}=ignore to {option}"
            if first.is_integer() and first >= 0
            else f"no {option}, if these are not labels",
        )
    return translated
