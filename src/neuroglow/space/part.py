"""A box of a volume, read as a volume of its own."""

from __future__ import annotations

from dataclasses import dataclass

from neuroglow.files.writing import hash_of
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array, Changed, check_inside

__all__ = ["PartVolume"]


@dataclass(frozen=True, eq=False)
class PartVolume(Changed):
    """A box of another volume; its voxels are counted from the box's first one."""

    box: Box

    @property
    def shape(self) -> Zyx:
        """Voxels of the box."""
        return self.box.shape

    @property
    def origin_vox(self) -> Zyx:
        """Where the box begins in the volume of which the other was cut."""
        z, y, x = Box.of(self.box.shape).shift(super().origin_vox).shift(self.box.start).start
        return z, y, x

    @property
    def identity(self) -> str:
        """Another for each box."""
        return hash_of("part", str(self.box), self.stored.identity)

    def read(self, box: Box) -> Array:
        """Read a box of the box."""
        check_inside(box, self.shape)
        return self.stored.read(box.shift(self.box.start))
