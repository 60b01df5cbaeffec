"""An output that is not whole yet: OUTPUT.partial, which holds all that a resume needs.

    OUTPUT.partial/ledger.jsonl    which blocks are done
    OUTPUT.partial/projections/    each block's maximum projections
    OUTPUT.partial/volume.ome.zarr the voxels so far

OUTPUT itself appears last, in one rename. Where blocks failed it appears all the same, marked
in its picture and record, and the folder stays, so that a resume does the failed ones alone.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neuroglow.errors import OutputError
from neuroglow.space.ledger import Ledger
from neuroglow.space.names import is_tiff
from neuroglow.space.opening import create_volume
from neuroglow.space.volume import VolumeSpec
from neuroglow.space.writing import writing

if TYPE_CHECKING:
    from neuroglow.space.ome_zarr import NewOmeZarr

__all__ = ["Mode", "Unfinished", "claim"]

Mode = Literal["new", "resume", "restart"]


@dataclass(frozen=True)
class Unfinished:
    """The folder beside an output that holds what is done of it."""

    output: Path

    @property
    def folder(self) -> Path:
        """Where everything unfinished lies."""
        return self.output.with_name(self.output.name + ".partial")

    @property
    def projections(self) -> Path:
        """Where blocks leave their projections."""
        return self.folder / "projections"

    @property
    def _voxels(self) -> Path:
        return self.folder / "volume.ome.zarr"

    @property
    def _is_tiff(self) -> bool:
        return is_tiff(self.output)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep every other process off this output; the claim ends with the process at the latest.

        Raises OutputError where another process works on it. Not kept on Windows.
        """
        with claim(self.folder, self.output):
            yield

    def prepare(
        self, mode: Mode, fingerprint: Mapping[str, str], *, beside: Sequence[Path] = ()
    ) -> Ledger:
        """Make the folder ready for a run, and give its ledger.

        beside: what else appears with the output, and is not overwritten either.
        Raises OutputError where something exists that this mode does not touch, or where an
        unfinished run is another one; WriteError where the place cannot be written.
        """
        ledger = self.folder / "ledger.jsonl"
        if mode == "restart":
            self.empty()
        elif ledger.exists():
            if mode == "new":
                raise OutputError(
                    "an unfinished run is not overwritten",
                    found="a run that was stopped, or of which blocks failed",
                    where=str(self.folder),
                    cure="--resume goes on with it, --restart begins anew",
                )
            return Ledger.resume(ledger, fingerprint)
        there = [path for path in (self.output, *beside) if path.exists()]
        if there and mode != "restart":
            raise OutputError(
                "an existing output is not overwritten",
                found="one that another run made" if mode == "resume" else "it exists",
                where=str(there[0]),
                cure="another -o, or --restart to replace it",
            )
        with writing(self.folder):
            self.projections.mkdir(parents=True, exist_ok=True)
        return Ledger.create(ledger, fingerprint)

    def volume(self, spec: VolumeSpec) -> NewOmeZarr:
        """Open the voxels so far, or create them."""
        partial = self._voxels.with_name(self._voxels.name + ".partial")
        published = [] if self._is_tiff else [self.output]
        for whole in (self._voxels, *published):  # a resume takes back what a stop had finished
            if whole.exists() and not partial.exists() and self.folder.exists():
                with writing(self.folder):
                    whole.rename(partial)
        volume: NewOmeZarr = create_volume(self._voxels, spec, resume=True)
        return volume

    def publish(self, volume: NewOmeZarr, *, complete: bool) -> None:
        """Let the output appear; remove the folder when nothing is left to do."""
        with writing(self.output):
            volume.finish()
            if self._is_tiff:
                from neuroglow.space.tiff_export import export_tiff

                export_tiff(volume, self.output)
            else:
                if self.output.exists():
                    _remove(self.output)
                self._voxels.rename(self.output)
            if complete:
                self.discard()

    def empty(self) -> None:
        """Remove all that lies in the folder, which itself stays claimed."""
        with writing(self.folder):
            for part in self.folder.glob("*"):
                _remove(part)

    def discard(self) -> None:
        """Remove the folder and all in it."""
        with writing(self.folder):
            _remove(self.folder)


@contextmanager
def claim(folder: Path, output: Path) -> Iterator[None]:
    """Keep every other process off a folder in which `output` is made.

    Raises OutputError where another process works in it. Not kept on Windows.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    handle = _locked(folder)
    if handle is None:
        raise OutputError(
            "one process at a time works on an output",
            found="another that is at work on it",
            where=str(output),
            cure="wait for it or stop it; --resume then goes on",
        )
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing was begun
        if handle >= 0:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """Lock a folder: a handle to close; -1 where there are no locks; None where it is locked."""
    if sys.platform == "win32":
        return -1
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # a file system without locks
        os.close(handle)
        return -1
    return handle


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
