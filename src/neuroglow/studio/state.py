"""State: what the studio itself keeps of a folder, in a folder of its own within it."""

from __future__ import annotations

import json
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from neuroglow.files.writing import appearing
from neuroglow.space.volume import VoxelSize
from neuroglow.studio.inside import OWN

__all__ = ["State"]


@dataclass
class State:
    """Files of the studio: in the folder it shows, or if that is read-only in a temporary one."""

    root: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _elsewhere: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Return the studio's own folder, made when first needed."""
        if self._elsewhere is not None:
            return Path(self._elsewhere.name)
        own = self.root / OWN
        try:
            own.mkdir(exist_ok=True)
            (own / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError:
            self._elsewhere = tempfile.TemporaryDirectory(prefix="neuroglow-studio-")
            return Path(self._elsewhere.name)
        return own

    def voxel_size(self, relative: str) -> VoxelSize | None:
        """Return the voxel size (zyx, micrometres) that a person gave for a file without one."""
        given = self._sizes().get(relative)
        return None if given is None else (given[0], given[1], given[2])

    def give_voxel_size(self, relative: str, size: VoxelSize) -> None:
        """Keep a voxel size that a person gave."""
        with self._lock:
            sizes = self._sizes() | {relative: list(size)}
            with appearing(self.folder / "voxel_sizes.json") as partial:
                partial.write_text(json.dumps(sizes, indent=1), encoding="utf-8")

    def _sizes(self) -> dict[str, list[float]]:
        place = self.root / OWN if self._elsewhere is None else Path(self._elsewhere.name)
        try:
            kept = json.loads((place / "voxel_sizes.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}
