"""Which axes of a file are z, y and x, and what is fixed of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuroglow.errors import InputError
from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import Choice

__all__ = ["Axes", "choose_axes"]


@dataclass(frozen=True)
class Axes:
    """index: for each axis of the file a fixed index, or None for z, y and x (in this order)."""

    index: tuple[int | None, ...]
    shape: Zyx


def choose_axes(names: str, sizes: Sequence[int], choice: Choice, where: str) -> Axes:
    """Fix channel and time, and find z, y and x.

    names: a letter an axis: T, C, Z, Y, X, S (samples of a pixel); I or Q, a nameless
        stack, counts as z where there is no other; so does T, which tifffile writes by
        default for what is a stack.
    Raises InputError for 2D, RGB, or an axis of several whose index was not chosen.
    """
    letters = names.upper()
    nameless = [i for i, letter in enumerate(letters) if letter in "IQ"]
    nameless = nameless or [i for i, letter in enumerate(letters) if letter == "T"]
    if "Z" not in letters and len(nameless) == 1:
        letters = letters.replace(letters[nameless[0]], "Z")
    if "S" in letters and sizes[letters.index("S")] in (3, 4):
        raise InputError(
            "a volume has one value a voxel",
            found=f"{sizes[letters.index('S')]} colour samples a pixel (RGB)",
            where=where,
            cure="save one channel, or convert the image to grey",
        )
    if not {"Z", "Y", "X"} <= set(letters):
        raise InputError(
            "a volume has three axes, z, y and x",
            found=f"a 2D image of {' x '.join(map(str, sizes))}",
            where=where,
            cure="give a stack, or the folder that holds its slices",
        )
    index = tuple(
        None if letter in "ZYX" else _fixed(letter, size, choice, where)
        for letter, size in zip(letters, sizes, strict=True)
    )
    if choice.channel and not {"C", "S"} & set(letters):
        raise _out_of_range("channel", choice.channel, 1, where)
    if choice.time and "T" not in letters:
        raise _out_of_range("time", choice.time, 1, where)
    z, y, x = (int(sizes[letters.index(letter)]) for letter in "ZYX")
    return Axes(index, (z, y, x))


def _fixed(letter: str, size: int, choice: Choice, where: str) -> int:
    option = {"C": "channel", "S": "channel", "T": "time"}.get(letter)
    chosen = {"channel": choice.channel, "time": choice.time}.get(option or "")
    if size == 1 and not chosen:
        return 0
    if option is None:
        raise InputError(
            "besides z, y and x a volume has channel and time at most",
            found=f"an axis {letter!r} of length {size}",
            where=where,
        )
    if chosen is None:
        raise InputError(
            f"one {option} of several must be chosen",
            found=f"{size} along the {option} axis",
            where=where,
            cure=f"--{option} 0 to --{option} {size - 1} where there is this option; "
            f"elsewhere save one {option} as a file of its own",
        )
    if chosen >= size:
        raise _out_of_range(option, chosen, size, where)
    return chosen


def _out_of_range(option: str, chosen: int, size: int, where: str) -> InputError:
    return InputError(
        f"the {option} must be one that the file has",
        found=f"--{option} {chosen}, of {size}",
        where=where,
        cure=f"--{option} 0" + (f" to --{option} {size - 1}" if size > 1 else ""),
    )
