"""An unfinished output: OUTPUT.partial, which contains everything needed to resume.

    OUTPUT.partial/ledger.jsonl    which blocks are done
    OUTPUT.partial/projections/    each block's maximum projections
    OUTPUT.partial/volume.ome.zarr the voxels so far

OUTPUT itself appears last, in one rename. If blocks failed it still appears, marked
in its picture and record, and the folder stays, so that a resume only does the failed blocks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neuroglow.blocks.executors import Workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.errors import OutputError
from neuroglow.files.locks import locked
from neuroglow.files.names import is_tiff
from neuroglow.files.remote import remote_path
from neuroglow.files.writing import writing
from neuroglow.formats.opening import create_volume
from neuroglow.progress import Tell
from neuroglow.space.volume import VolumeSpec

if TYPE_CHECKING:
    from neuroglow.formats.ome_zarr import NewOmeZarr

__all__ = [
    "CONTINUED",
    "Mode",
    "Unfinished",
    "check_begun",
    "check_ended",
    "claim",
    "lock_path",
    "refuse_shards",
]

Mode = Literal["new", "resume", "retry-failed", "restart"]

CONTINUED = ("resume", "retry-failed")
"""Modes that continue an earlier start."""


@dataclass(frozen=True)
class Unfinished:
    """The folder next to an output that contains the finished part of it."""

    output: Path

    @property
    def folder(self) -> Path:
        """The folder of all unfinished files."""
        return self.output.with_name(self.output.name + ".partial")

    @property
    def projections(self) -> Path:
        """The folder in which blocks write their projections."""
        return self.folder / "projections"

    @property
    def _voxels(self) -> Path:
        return self.folder / "volume.ome.zarr"

    @property
    def _is_tiff(self) -> bool:
        return is_tiff(self.output)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock this output against other processes; the lock ends at the latest with the process.

        Raises OutputError if another process works on it. Not supported on Windows.
        """
        with claim(self.folder, self.output):
            yield

    @property
    def ledger(self) -> Path:
        """The ledger of the whole run."""
        return self.folder / "ledger.jsonl"

    @property
    def shards(self) -> Path:
        """The folder of the ledgers of shards, each written by the process that works on it."""
        return self.folder / "shards"

    def prepare(
        self,
        mode: Mode,
        fingerprint: Mapping[str, str],
        *,
        beside: Sequence[Path] = (),
        about: Mapping[str, Any] | None = None,
    ) -> Ledger:
        """Prepare the folder for a run, and return its ledger.

        beside: other files that appear with the output, and must not be overwritten either.
        about: what the run is, for `status`.
        Raises OutputError if there is something that this mode does not replace, or if an
        unfinished run is another one; WriteError if the place cannot be written.
        """
        ledger = self.ledger
        check_begun(ledger, mode)
        refuse_shards(self, mode)
        if mode == "restart":
            self.empty()
        elif ledger.exists():
            if mode == "new":
                raise OutputError(
                    "an unfinished run is not overwritten",
                    found="a run that was stopped, or in which blocks failed",
                    where=str(self.folder),
                    cure="--resume continues it, --restart starts anew",
                )
            resumed = Ledger.resume(ledger, fingerprint)
            check_ended(resumed, mode, (about or {}).get("blocks"))
            self._make_folders()
            return resumed
        if mode != "restart":
            self.refuse_existing(mode, beside)
        self._make_folders()
        return Ledger.create(ledger, fingerprint, about)

    def refuse_existing(self, mode: Mode, beside: Sequence[Path] = ()) -> None:
        """Refuse to overwrite the output, or files that appear with it."""
        there = [path for path in (self.output, *beside) if path.exists()]
        if there:
            raise OutputError(
                "an existing output is not overwritten",
                found="one from another run" if mode == "resume" else "it exists",
                where=str(there[0]),
                cure="another -o, or --restart to replace it",
            )

    def _make_folders(self) -> None:
        with writing(self.folder):
            self.projections.mkdir(parents=True, exist_ok=True)

    def volume(self, spec: VolumeSpec, *, anew: bool = False) -> NewOmeZarr:
        """Open the voxels so far, or create them.

        anew: no block is done yet, so that an output at the place is of another run, and not begun.
        """
        partial = self._voxels.with_name(self._voxels.name + ".partial")
        published = [] if self._is_tiff or anew else [self.output]
        for whole in (self._voxels, *published):  # a resume takes back a volume finished by a stop
            if whole.exists() and not partial.exists() and self.folder.exists():
                with writing(self.folder):
                    whole.rename(partial)
        kept = replace(spec, compression="lz4", effort=1) if self._is_tiff else spec  # soon removed
        volume: NewOmeZarr = create_volume(self._voxels, kept, resume=True)
        return volume

    def publish(
        self,
        volume: NewOmeZarr,
        *,
        complete: bool,
        workers: Workers | None = None,
        tell: Tell | None = None,
        state: str = "",
    ) -> None:
        """Publish the output; remove the folder if nothing is left to do.

        workers, tell, state: of the coarser levels, see NewOmeZarr.finish.
        """
        with writing(self.output):
            if self._is_tiff:  # which has no coarser levels
                from neuroglow.formats.tiff_export import export_tiff

                export_tiff(volume, self.output)
            else:
                volume.finish(self.output, workers=workers, tell=tell, state=state)
                if self.output.exists():
                    _remove(self.output)
                self._voxels.rename(self.output)
            if complete:
                self.discard()

    def empty(self) -> None:
        """Remove all files in the folder."""
        with writing(self.folder):
            for part in self.folder.glob("*"):
                _remove(part)

    def discard(self) -> None:
        """Remove the folder and everything in it."""
        with writing(self.folder):
            _remove(self.folder)


def refuse_shards(unfinished: Unfinished, mode: Mode) -> None:
    """Refuse to work on the whole of a run that was begun in shards, unless it begins anew."""
    if mode != "restart" and unfinished.shards.exists() and not unfinished.ledger.exists():
        raise OutputError(
            "a run in shards is continued in shards",
            found="ledgers of shards",
            where=str(unfinished.shards),
            cure="--shard with --resume; `neuroglow finish` when all are complete",
        )


def check_begun(ledger: Path, mode: Mode) -> None:
    """Refuse to repeat the failed blocks of a run that was never begun."""
    if mode == "retry-failed" and not ledger.exists():
        raise OutputError(
            "the failed blocks of an earlier start are repeated",
            found="no unfinished run",
            where=str(ledger.parent),
            cure="the same command without --retry-failed",
        )


def check_ended(ledger: Ledger, mode: Mode, blocks: int | None) -> None:
    """Refuse to do only the failed blocks of a run that has others left."""
    left = (blocks or 0) - len(ledger.statuses)
    if mode == "retry-failed" and left > 0:
        raise OutputError(
            "only the failed blocks are repeated of a run that has ended",
            found=f"{left} of {blocks} blocks were never done",
            where=str(ledger.path),
            cure="--resume, which does these and the failed ones",
        )


@contextmanager
def claim(folder: Path, output: Path) -> Iterator[None]:
    """Lock a folder in which `output` is made against other processes.

    Raises OutputError if another process works in it. Not supported on Windows.
    """
    if elsewhere := remote_path(output):
        raise OutputError(
            "outputs are written on this machine; only convert writes to a store elsewhere",
            found=f"an address ({elsewhere.address.partition('://')[0]})",
            where=str(elsewhere),
            cure=f"-o {elsewhere.name}, then: neuroglow convert {elsewhere.name} -o {elsewhere}",
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(lock_path(folder), output):
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()  # if nothing was begun


def lock_path(folder: Path) -> Path:
    """Name the lock of a folder: next to it, because the folder may become the output."""
    return folder.with_name(f".{folder.name}.lock")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
