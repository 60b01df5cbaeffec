"""What is to be said of labels: how their values were taken, and which look inverted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from neuroglow.files.remarks import listed
from neuroglow.labels.label_values import crowded
from neuroglow.labels.labels import LabelReader, Labels, Mask

__all__ = ["Doubts", "doubts_of"]


def doubts_of(labels: LabelReader, neurites: int, background: int) -> list[str]:
    """Say what was assumed of a label that has been read, and whether it is mostly neurites."""
    notes = list(labels.notes) if isinstance(labels, Mask | Labels) else []
    if isinstance(labels, Mask):
        turned = labels.inverted
        cure = f"{turned} turns it round" if turned else "--label-map says what its values mean"
    elif isinstance(labels, Labels):
        cure = "another --label-map says what its values mean"
    else:
        cure = "a smaller radius or the right voxel size draws its trees thinner"
    doubt = crowded(neurites, background, cure)
    return [*notes, doubt] if doubt else notes


class Doubts:
    """What is said of many labels: each sentence once, with the names of the cubes."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, labels: LabelReader, neurites: int, background: int) -> None:
        """Take in a label that has been read; neurites, background: its voxels."""
        self.note(name, doubts_of(labels, neurites, background))

    def note(self, name: str, said: Sequence[str]) -> None:
        """Take in what was said of a label before."""
        for sentence in said:
            self._names.setdefault(sentence, []).append(name)

    def lines(self) -> Iterator[str]:
        """Give each sentence with the cubes that it is of."""
        for sentence, names in self._names.items():
            yield f"label of {listed(names)}: {sentence}"
