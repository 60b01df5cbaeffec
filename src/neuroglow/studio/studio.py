"""The studio of one folder: what its routes share."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from neuroglow.errors import InputError
from neuroglow.studio.chunks import Chunks
from neuroglow.studio.grey import Grey, grey_of
from neuroglow.studio.inside import Inside
from neuroglow.studio.jobs import Jobs
from neuroglow.studio.orders import Order, PredictOrder
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.state import State
from neuroglow.studio.volumes import Shown, Volumes

__all__ = ["Studio"]

GREYS = 500
"""Volumes whose grey levels are remembered."""


@dataclass(frozen=True)
class Studio:
    """The parts of a studio."""

    inside: Inside
    state: State
    volumes: Volumes
    chunks: Chunks
    jobs: Jobs

    _greys: OrderedDict[tuple[str, str], Grey] = field(default_factory=OrderedDict)

    def grey(self, shown: Shown) -> Grey:
        """Return the grey levels of a volume, measured once."""
        key = (shown.path, shown.revision)
        if key not in self._greys:
            self._greys[key] = grey_of(shown)
            while len(self._greys) > GREYS:
                self._greys.popitem(last=False)
        return self._greys[key]

    @classmethod
    def of(cls, folder: str | Path) -> Studio:
        """Open the studio of a folder. Raises InputError if it is none."""
        root = Path(folder).resolve()
        if not root.is_dir():
            raise InputError(
                "the studio shows a folder",
                found="a file" if root.exists() else "nothing there",
                where=str(folder),
                cure="the path of a folder; without one, the current folder is shown",
            )
        inside, state = Inside(root), State(root)
        return cls(inside, state, Volumes(inside, state), Chunks(state), Jobs(inside, state))

    def with_known_size(self, order: Order) -> Order:
        """Add the voxel size that a person gave for a volume of an order."""
        if getattr(order, "voxel_size", None):
            return order
        if isinstance(order, PredictOrder) and len(order.inputs) > 1:
            self._refuse_given_sizes(order.inputs)
            return order
        sizes = [size for path in order.volumes() if (size := self.state.voxel_size(path))]
        return order.model_copy(update={"voxel_size": sizes[0]}) if sizes else order

    def _refuse_given_sizes(self, inputs: list[str]) -> None:
        """Refuse one order for volumes of which some have voxel sizes that a person gave."""
        given = [path for path in inputs if self.state.voxel_size(path)]
        if given:
            raise RefusedError(
                400,
                "the volumes of one order state their voxel sizes themselves",
                found="a voxel size that was given in the studio",
                where=given[0],
                cure="enhance this volume by an order of its own",
            )
