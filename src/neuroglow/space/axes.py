"""Which axes of a file are z, y and x, and the fixed indices of the others: for all formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroglow.errors import InputError
from neuroglow.files.remarks import remark
from neuroglow.files.remote import Place
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array, Choice

__all__ = ["Axes", "InFile", "choose_axes", "letters_of", "unnamed_axes"]

MOST_CHANNELS = 4
"""A file without z but with more `channels` than this is a stack whose planes were named so."""

_WORDS = {
    "Z": "z depth plane planes slice slices section sections",
    "Y": "y row rows height",
    "X": "x col cols column columns width",
    "C": "c ch channel channels color colour wavelength band",
    "T": "t time times frame frames timepoint timepoints",
    "S": "s sample samples rgb",
    "I": "i image images index",
    "Q": "q",
}
_LETTERS = {word: letter for letter, words in _WORDS.items() for word in words.split()}
_OPTIONS = {"C": "channel", "S": "channel", "T": "time"}


@dataclass(frozen=True)
class Axes:
    """The position of a volume in an array of a file.

    index: for each axis of the file a fixed index, or None if it is z, y or x.
    shape: of the volume, zyx. order: positions of z, y and x among the axes that are None.
    """

    index: tuple[int | None, ...]
    shape: Zyx
    order: tuple[int, int, int] = (0, 1, 2)

    def window(self, box: Box) -> tuple[int | slice, ...]:
        """Return the index, in the file's own order, that reads a box."""
        spatial = iter(sorted(zip(self.order, box.slices, strict=True), key=lambda pair: pair[0]))
        return tuple(next(spatial)[1] if i is None else i for i in self.index)

    def arranged(self, voxels: Array, dtype: np.dtype[np.generic]) -> Array:
        """Convert the array read with `window` to a fresh C-contiguous zyx array."""
        return np.array(np.transpose(voxels, self.order), dtype, order="C")


def letters_of(names: Sequence[object], where: str) -> str:
    """Return one letter per axis for names of any case and length; `?` for others."""
    letters = "".join(_LETTERS.get(str(name).strip().lower(), "?") for name in names)
    twice = [a for a in dict.fromkeys(letters) if a in "ZYXCT" and letters.count(a) > 1]
    if twice:
        raise InputError(
            "each axis of a volume has a name of its own",
            found=f"axes {', '.join(map(str, names))}",
            where=where,
        )
    return letters


def unnamed_axes(sizes: Sequence[int], where: str) -> str:
    """Guess the axes of an array whose file does not name them: t, c, z, y, x from the last on.

    A short last axis after long ones is read as channels, as ilastik writes them.
    """
    count = len(sizes)
    letters = "?" * (count - 5) + "TCZYX"[max(0, 5 - count) :]
    if count in (4, 5) and sizes[-1] <= MOST_CHANNELS < min(sizes[-4:-1]):
        letters = "TZYXC"[5 - count :]
        if sizes[-1] > 1:
            remark(
                f"{where}: its axes have no names; the last of {' x '.join(map(str, sizes))} is "
                f"read as {sizes[-1]} channels"
            )
    return letters


class InFile:
    """A volume at a path, in which it has axes of its own: its name and its shape."""

    path: Place
    axes: Axes

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        return self.axes.shape


def choose_axes(
    names: str | Sequence[object], sizes: Sequence[int], choice: Choice, where: str
) -> Axes:
    """Fix channel and time, and find z, y and x, in any order.

    names: letters, or one name per axis: those of `letters_of`; I, Q and unknown ones are nameless.
    If no axis is called z, the remaining one is used: a nameless one, or, with a remark, frames or
        more than MOST_CHANNELS channels.
    Raises InputError for 2D, RGB, or an axis of several whose index was not chosen.
    """
    letters = names.upper() if isinstance(names, str) else letters_of(names, where)
    letters = _with_depth(letters, sizes, choice, where)
    if "S" in letters and sizes[letters.index("S")] in (3, 4):
        raise InputError(
            "a volume has one value per voxel",
            found=f"{sizes[letters.index('S')]} colour samples per pixel (RGB)",
            where=where,
            cure="save one channel, or convert the image to grey",
        )
    if not {"Z", "Y", "X"} <= set(letters):
        raise _flat(names, letters, sizes, where)
    index = tuple(
        None if letter in "ZYX" else _fixed(letter, size, choice, where)
        for letter, size in zip(letters, sizes, strict=True)
    )
    if choice.channel and not {"C", "S"} & set(letters):
        raise _out_of_range("channel", choice.channel, 1, where)
    if choice.time and "T" not in letters:
        raise _out_of_range("time", choice.time, 1, where)
    z, y, x = (int(sizes[letters.index(letter)]) for letter in "ZYX")
    if not min(z, y, x):
        raise InputError("a volume must contain voxels", found=f"{z} x {y} x {x}", where=where)
    spatial = [letter for letter in letters if letter in "ZYX"]
    order = (spatial.index("Z"), spatial.index("Y"), spatial.index("X"))
    return Axes(index, (z, y, x), order)


def _with_depth(letters: str, sizes: Sequence[int], choice: Choice, where: str) -> str:
    """Use the remaining axis as z, if none has that name."""
    if "Z" in letters:
        return letters
    long = {i: letter for i, letter in enumerate(letters) if sizes[i] > 1}
    nameless = [i for i, letter in enumerate(letters) if letter in "IQ?"]
    if len(nameless) > 1:
        nameless = [i for i in nameless if i in long]
    if len(nameless) == 1:
        return _renamed(letters, nameless[0])
    open_ends = [i for i, a in long.items() if a in "TC" and _chosen(a, choice) is None]
    if nameless or len(open_ends) != 1:
        return letters
    at = open_ends[0]
    if letters[at] == "C" and sizes[at] <= MOST_CHANNELS:
        return letters
    called = "frames (time points)" if letters[at] == "T" else "channels"
    remark(
        f"{where}: it has no z; its {sizes[at]} {called} are read as planes. If they are not, "
        "it is not a volume"
    )
    return _renamed(letters, at)


def _renamed(letters: str, at: int) -> str:
    return letters[:at] + "Z" + letters[at + 1 :]


def _flat(
    names: str | Sequence[object], letters: str, sizes: Sequence[int], where: str
) -> InputError:
    several = [i for i, a in enumerate(letters) if a in "TC" and sizes[i] > 1]
    words = " x ".join(map(str, sizes))
    if not {"Y", "X"} <= set(letters) and len(sizes) > 2:
        found = f"axes {', '.join(map(str, names))} ({words})"
        return InputError("a volume has three axes, z, y and x", found=found, where=where)
    of = f", {' and '.join(_OPTIONS[letters[i]] for i in several)} of several" if several else ""
    return InputError(
        "a volume has three axes, z, y and x",
        found=f"a 2D image of {words}{of}",
        where=where,
        cure="give a stack, or the folder that holds its slices"
        + ("; save planes that were saved as channels or frames as z first" if of else ""),
    )


def _chosen(letter: str, choice: Choice) -> int | None:
    return {"channel": choice.channel, "time": choice.time}.get(_OPTIONS.get(letter, ""))


def _fixed(letter: str, size: int, choice: Choice, where: str) -> int:
    option, chosen = _OPTIONS.get(letter), _chosen(letter, choice)
    if size == 1 and not chosen:
        return 0
    if option is None:
        raise InputError(
            "besides z, y and x a volume has at most channel and time",
            found=f"an axis {letter!r} of length {size}"
            if letter != "?"
            else f"a further axis of length {size}",
            where=where,
        )
    if chosen is None:
        raise InputError(
            f"one {option} of several must be chosen",
            found=f"{size} along the {option} axis",
            where=where,
            cure=f"--{option} 0 to --{option} {size - 1} where this option exists; "
            f"elsewhere save one {option} as a file of its own",
        )
    if chosen >= size:
        raise _out_of_range(option, chosen, size, where)
    return chosen


def _out_of_range(option: str, chosen: int, size: int, where: str) -> InputError:
    return InputError(
        f"the {option} must exist in the file",
        found=f"--{option} {chosen}, of {size}",
        where=where,
        cure=f"--{option} 0" + (f" to --{option} {size - 1}" if size > 1 else ""),
    )
