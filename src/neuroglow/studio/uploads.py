"""Uploads: volumes that are dropped onto the page, written next to the others, never over one."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from neuroglow.errors import NeuroglowError
from neuroglow.files.names import ONE_FILE_SUFFIXES, TIFF_SUFFIXES, TREE_SUFFIX
from neuroglow.studio.inside import Inside
from neuroglow.studio.refusals import RefusedError

__all__ = ["take_upload"]

TAKEN = (*ONE_FILE_SUFFIXES, TREE_SUFFIX)
"""Endings of files that are taken: data alone."""

NAME = re.compile(r"[\w()+,=@#&' -][\w.()+,=@#&' -]{0,180}")

SPARE = 500_000_000
"""Bytes that stay free on the disk."""


async def take_upload(
    inside: Inside, folder: str, name: str, length: int | None, parts: AsyncIterator[bytes]
) -> str:
    """Write a file into a folder as it comes; returns its path.

    It appears whole or not at all, and is only opened as data. Raises RefusedError.
    """
    place = inside.find(folder)
    target = place / _checked_name(name)
    inside.check(target, name)
    if not place.is_dir():
        raise RefusedError(400, "a file is dropped into a folder", where=folder)
    _refuse_existing(target, inside)
    _refuse_full(place, length or 0)
    partial = place / f".{target.name}.{secrets.token_hex(4)}.upload"
    try:
        with partial.open("xb") as file:
            async for part in parts:
                file.write(part)
        _check_content(partial, target)
        os.link(partial, target)  # not a rename: that would replace what has appeared meanwhile
    except FileExistsError:
        _refuse_existing(target, inside)
    finally:
        partial.unlink(missing_ok=True)
    return inside.relative(target)


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name) or ".." in name or not name.lower().endswith(TAKEN):
        raise RefusedError(
            400,
            "a file that is dropped is a volume or a tree, with a plain name",
            found=name[:80].encode("ascii", "backslashreplace").decode(),
            cure=f"names that end in {', '.join(TAKEN)}; copy others into the folder",
        )
    return name


def _refuse_existing(target: Path, inside: Inside) -> None:
    if target.exists() or target.is_symlink():
        raise RefusedError(
            409,
            "an existing file is not overwritten",
            found="it exists",
            where=inside.relative(target),
            cure="rename one of them",
        )


def _refuse_full(place: Path, length: int) -> None:
    free = os.statvfs(place)
    if free.f_bavail * free.f_frsize - length < SPARE:
        raise RefusedError(409, "the disk has room for the file", found="too little is free")


def _check_content(partial: Path, target: Path) -> None:
    """Refuse a TIFF that is none: it is said at once, not when it is opened."""
    if not target.name.lower().endswith(TIFF_SUFFIXES):
        return
    from neuroglow.formats.tiff import is_stack

    try:
        is_stack(partial)
    except NeuroglowError as error:
        raise RefusedError(422, error.rule, found=error.found, where=target.name) from None
