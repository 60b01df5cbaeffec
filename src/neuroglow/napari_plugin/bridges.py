"""The panel Check: steps through the bridges of a trace; a rejected one is cut."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError, OutputError
from neuroglow.files.writing import appearing
from neuroglow.napari_plugin.panel import Says, button, labelled, panel_of
from neuroglow.napari_plugin.reader import read_trees
from neuroglow.skeleton.doubts import Doubt, find_doubts, read_uncertain
from neuroglow.skeleton.editing import forest_of, tree_of
from neuroglow.skeleton.proofreading import Decision, Proofreading, decision_rows
from neuroglow.space.volume import VoxelSize
from neuroglow.trace.files import trace_paths
from neuroglow.trees.swc import join_trees, write_swc
from neuroglow.view.layers import tree_layers
from neuroglow.view.skeletons import named

__all__ = ["Checking", "bridges"]

BRIDGES, ALL = "bridges", "all doubtful places"


def bridges() -> Any:
    """Make the panel, of the viewer in front."""
    import napari

    return Checking(napari.current_viewer()).panel


class Checking:
    """The panel, the trees under correction, and the place that is shown."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.says = Says()
        self.work: Proofreading | None = None
        self.size: VoxelSize | None = None
        self.at = 0
        self.drawn: list[Any] = []
        self.file = labelled("trees", "FileEdit", mode="r", filter="*.swc", nullable=True)
        self.file.value = None
        self.kinds = labelled("places", "ComboBox", choices=[BRIDGES, ALL])
        self.previous = button("Previous", lambda: self.step(-1), self.says)
        self.next = button("Next", lambda: self.step(1), self.says)
        self.accept = button("Accept", lambda: self.decide("accepted"), self.says)
        self.reject = button("Reject", lambda: self.decide("rejected"), self.says)
        self.undo = button("Undo", self.take_back, self.says)
        self.save = button("Save", self.write, self.says)
        rows: list[Any] = [self.file, self.kinds, [self.previous, self.next]]
        rows += [[self.accept, self.reject, self.undo, self.save], self.says.widget]
        self.panel = panel_of(self, rows)
        opened, chosen = self.says.instead_of(self.open), self.says.instead_of(self.begin)
        self.file.changed.connect(lambda *_: opened())
        self.kinds.changed.connect(lambda *_: chosen())

    def open(self) -> None:
        """Open an SWC file of a trace. Raises InputError."""
        if self.file.value is None:
            return
        path = Path(self.file.value)
        trees, self.size = read_trees(path)
        forest = forest_of(join_trees(trees))
        uncertain = read_uncertain(trace_paths(path)["decisions"])
        self.work = Proofreading.of(forest, find_doubts(forest, uncertain))
        self.draw()
        self.begin()

    def opened(self) -> Proofreading:
        """Return the trees under correction. Raises InputError if there are none."""
        if self.work is None:
            raise InputError("trees are opened before they are checked", found="none")
        return self.work

    def places(self) -> list[Doubt]:
        """List the places that are stepped through."""
        every = self.opened().doubts
        return [d for d in every if self.kinds.value == ALL or d.kind == "bridge"]

    def begin(self) -> None:
        """Go to the first place."""
        self.at = 0
        self.show()

    def step(self, by: int) -> None:
        """Go to another place; the ends are joined."""
        self.at = (self.at + by) % max(1, len(self.places()))
        self.show()

    def show(self) -> None:
        """Move the view to the current place, and say what it is."""
        places = self.places()
        if not places:
            self.says("there is no such place")
            return
        doubt = places[self.at]
        self.viewer.dims.point = [*([0] * (self.viewer.dims.ndim - 3)), *doubt.place]
        self.viewer.camera.center = tuple(doubt.place)
        step = self.opened().decided().get(doubt.name)
        sure = "" if np.isnan(doubt.probability) else f", probability {doubt.probability:.2f}"
        decision = step.decision if step else "open"
        self.says(f"{self.at + 1} of {len(places)}: {doubt.name}{sure}: {decision}")

    def decide(self, decision: Decision) -> None:
        """Accept or reject what the tracer did at the current place, and go to the next."""
        places = self.places()
        if not places:
            raise InputError("there is a place to decide on", found="none")
        self.work = self.opened().decide(places[self.at].name, decision)
        self.draw()
        self.step(1)

    def take_back(self) -> None:
        """Undo the last decision. Raises InputError if there is none."""
        self.work = self.opened().undo()
        self.draw()
        self.show()

    def draw(self) -> None:
        """Draw the trees as they are now."""
        path, tree = Path(self.file.value), tree_of(self.opened().forest)
        before = [layer for layer in self.drawn if layer in self.viewer.layers]
        add = {"tracks": self.viewer.add_tracks, "points": self.viewer.add_points}
        layers = tree_layers(named([tree], [path]), path.stem, self.size)
        self.drawn = [add[kind](data, **properties) for data, properties, kind in layers]
        for layer in before:  # afterwards: napari must not lose an axis in between
            self.viewer.layers.remove(layer)
        for layer, (_, properties, _) in zip(self.drawn, layers, strict=True):
            layer.name = properties["name"]

    def write(self) -> None:
        """Save the corrected trees, and the list of decisions, as new files next to the old one.

        Raises OutputError if they exist, WriteError.
        """
        work, path = self.opened(), Path(self.file.value)
        swc = path.with_name(f"{path.stem}_checked.swc")
        table = swc.with_suffix(".csv")
        for file in (swc, table):
            if file.exists():
                raise OutputError(
                    "existing files are not overwritten",
                    found="an earlier check",
                    where=str(file),
                    cure="move it elsewhere, or check it further: open it here",
                )
        comment = (
            f"neuroglow {version('neuroglow')}: {path.name}, corrected by hand in "
            f"{len(work.steps)} steps; {table.name} lists the decisions"
        )
        with appearing(table) as partial:
            partial.write_text(decision_rows(work), encoding="utf-8")
        with appearing(swc) as partial:
            write_swc(tree_of(work.forest), partial, comment=comment)
        self.says(f"saved {swc.name} and {table.name}")
