"""Control groups of Linux: those that this process is in, of version 2 and 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["groups_of"]


def groups_of(controller: str, root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of each group and of those above it, and whether it is of version 1.

    controller: `memory` or `cpu`. root: of the file system. A folder need not exist.
    """
    own = ["", ""]
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" or controller in controllers.split(","):
                own[number != "0"] = path.strip("/")
    for old, path in enumerate(own):
        base = root / "sys/fs/cgroup" / (controller if old else "")
        place = base / path
        for folder in (place, *place.parents):
            yield folder, bool(old)
            if folder == base:
                break
