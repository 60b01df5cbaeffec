"""Labels as people have them: masks, legends and traced trees become 0, 1 and 2.

mask     any positive value is a neurite (label_values.py: in a soft mask, half of the highest)
legend   `1=background,2=neurite,4=ignore,0=ignore`: the meaning of each value (as in TrailMap,
         where few planes are labelled and the rest is ignored)
SWC      a tree is drawn with its calibre, with an ignored margin around it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import SettingsError
from neuroglow.labels.label_values import mask_level, refuse_not_finite, refuse_values, tally
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
    "Mask",
    "labels_in",
    "parse_label_map",
]


BACKGROUND, NEURITE, IGNORE = 0, 1, 2
"""The values of a label. IGNORE: not annotated, or too near, too dim or too crowded to decide;
it is excluded from all losses, scores and indicators."""

UNNAMED = 255
"""In place of a value that a legend does not name."""

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
        value, _, meaning = (word.strip().lower() for word in part.partition("="))
        if not value.removeprefix("-").isdecimal() or meaning not in MEANINGS:
            raise _wrong_legend(repr(part), option)
        if int(value) in legend:
            raise _wrong_legend(f"{int(value)} twice", option)
        legend[int(value)] = MEANINGS[meaning]
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


@dataclass(frozen=True)
class Mask:
    """A label without a legend, read by box: neurite above 0, zyx, uint8.

    level: of a soft mask the value from which a voxel is neurite, instead.
    positive: the values above 0, where they were counted. notes: assumptions about them.
    """

    volume: Volume
    level: float = 0.0
    positive: Sequence[float] = ()
    notes: Sequence[str] = ()

    @property
    def inverted(self) -> str:
        """The option that turns a mask around; empty where there is none."""
        if len(self.positive) != 1:
            return ""
        return f"--label-map 0=neurite,{self.positive[0]:g}=background"

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a box."""
        values = self.volume.read(box)
        refuse_not_finite(values, self.volume.name)
        neurite = values >= self.level if self.level else values > 0
        return np.asarray(neurite, np.uint8)


class Labels:
    """A label with a legend, read by box: zyx, uint8, BACKGROUND, NEURITE or IGNORE.

    option: where the legend was given, for messages. box: the part that is read, by default all.
    notes: assumptions about its values, for the reader to report.
    """

    def __init__(
        self,
        volume: Volume,
        legend: Mapping[int, int],
        option: str = "--label-map",
        *,
        box: Box | None = None,
    ) -> None:
        self._volume, self._legend, self._option, self._box = volume, dict(legend), option, box
        self.notes: list[str] = []

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a box. Raises InputError for a value that the legend does not name."""
        values = self._volume.read(box)
        refuse_not_finite(values, self._volume.name)
        label = _translate(values, self._legend)
        if (label == UNNAMED).any():
            self._take_for_mask()
            label = _translate(values, self._legend)
        return label

    def _take_for_mask(self) -> None:
        """Read the only value besides 0 as neurite, as Fiji's 255; refuse other unknown values."""
        found = tally(self._volume, self._box)
        unknown = sorted(value for value in found.counts if value not in self._legend)
        value = unknown[0]
        usual = value in (1, 255, found.top) and self._legend.get(0) == BACKGROUND
        if sorted(found.counts.keys() - {0.0}) != [value] or not usual:
            raise refuse_values(found, unknown, self._legend, self._volume.name, self._option)
        self._legend[int(value)] = NEURITE
        self.notes.append(
            f"only {value:g} and 0: a mask; {value:g} is read as neurite ({found.counts[value]:,} "
            f"voxels), though {self._option} does not name it"
        )


def labels_in(
    volume: Volume,
    legend: Mapping[int, int],
    option: str = "--label-map",
    *,
    box: Box | None = None,
) -> Labels | Mask:
    """Read the values of a label by its legend, or without one as a mask.

    Raises InputError if they have no meaning: below 0, or those of an image.
    """
    if legend:
        return Labels(volume, legend, option, box=box)
    found = tally(volume, box)
    level, note = mask_level(found, volume.name, option)
    return Mask(volume, level, tuple(found.positive), (note,) if note else ())


class LabelReader(Protocol):
    """Neurite, background and ignored voxels, read by box: zyx, uint8."""

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a box."""


def _translate(values: Array, legend: Mapping[int, int]) -> NDArray[np.uint8]:
    translated = np.full(values.shape, UNNAMED, np.uint8)
    for value, meaning in legend.items():
        translated[values == value] = meaning
    return translated
