"""Trees in a file instead of in memory: a sequence of trees, the longest first, read one by one."""

from __future__ import annotations

import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from neuroglow.files.writing import writing
from neuroglow.skeleton.trees import tree_length
from neuroglow.trees.swc import Tree

__all__ = ["Each", "TreeStore"]

ROW = 8
"""Numbers of a node: place, radius, kind, parent, probability, bridge."""


class _Trees(Sequence[Tree], ABC):
    """A sequence of trees that are made when they are read."""

    @overload
    def __getitem__(self, at: int) -> Tree: ...
    @overload
    def __getitem__(self, at: slice) -> list[Tree]: ...
    def __getitem__(self, at: int | slice) -> Tree | list[Tree]:
        some = range(len(self))[at]
        return self.tree(some) if isinstance(some, int) else [self.tree(i) for i in some]

    @abstractmethod
    def tree(self, at: int) -> Tree:
        """Make the tree of a number."""


class Each(_Trees):
    """Trees of a sequence, each changed when it is read; change: of its number, and the tree."""

    def __init__(self, trees: Sequence[Tree], change: Callable[[int, Tree], Tree]) -> None:
        self._trees, self._change = trees, change

    def __len__(self) -> int:
        return len(self._trees)

    def tree(self, at: int) -> Tree:
        """Change the tree of a number."""
        return self._change(at, self._trees[at])


class TreeStore(_Trees):
    """Trees in a file without a name, which is gone when nobody holds the store."""

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open as long as this
        weakref.finalize(self, self._file.close)
        self._found: list[tuple[float, list[float], int, int]] = []
        self._folder = folder

    def add(self, tree: Tree) -> None:
        """Append a tree."""
        columns = tree.columns["probability"], tree.columns["bridge"]
        rows = np.column_stack([tree.points, tree.radii, tree.kinds, tree.parents, *columns])
        with writing(self._folder):
            start = self._file.seek(0, 2)
            self._file.write(rows.astype(np.float64).tobytes())
        self._found.append((-tree_length(tree), tree.points[0].tolist(), start, len(rows)))

    def finish(self) -> None:
        """Order the trees, the longest first."""
        self._found.sort()
        self._file.flush()

    def __len__(self) -> int:
        return len(self._found)

    def tree(self, at: int) -> Tree:
        """Read the tree of a number."""
        _, _, start, count = self._found[at]
        self._file.seek(start)
        rows = np.frombuffer(self._file.read(count * ROW * 8), np.float64).reshape(count, ROW)
        kinds, parents = rows[:, 4:6].astype(np.int64).T
        columns = {"probability": rows[:, 6].copy(), "bridge": rows[:, 7].copy()}
        return Tree(rows[:, :3].copy(), rows[:, 3].copy(), kinds.copy(), parents.copy(), columns)
