"""The panel Annotate: steps through the cubes that `select --export` wrote, and saves labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.cubes.manifest import Cube, open_image, read_manifest
from neuroglow.errors import InputError
from neuroglow.files.names import is_tiff
from neuroglow.files.writing import writing
from neuroglow.formats.opening import open_volume
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.napari_plugin.panel import Says, button, labelled, panel_of, without_brush_box
from neuroglow.space.volume import ArrayVolume
from neuroglow.view.layers import volume_layer
from neuroglow.view.scene import levels_of

__all__ = ["Annotating", "cubes"]

LEGEND = "1 neurite, 0 background"


def cubes() -> Any:
    """Make the panel, of the viewer in front."""
    import napari

    return Annotating(napari.current_viewer()).panel


class Annotating:
    """The panel, and the cube that is shown."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        without_brush_box(viewer)
        self.says = Says()
        self.cubes: list[Cube] = []
        self.shown: list[Any] = []
        self.saved: Any = None
        self.table = labelled("manifest", "FileEdit", mode="r", filter="*.csv", nullable=True)
        self.table.value = None
        self.cube = labelled("cube", "ComboBox", choices=lambda _: [c.name for c in self.cubes])
        self.previous = button("Previous", lambda: self.step(-1), self.says)
        self.next = button("Next", lambda: self.step(1), self.says)
        self.save = button("Save label", self.write, self.says)
        steps = [self.previous, self.next, self.save]
        self.panel = panel_of(self, [self.table, self.cube, steps, self.says.widget])
        opened, chosen = self.says.instead_of(self.open), self.says.instead_of(self.show)
        self.table.changed.connect(lambda *_: opened())
        self.cube.changed.connect(lambda *_: chosen())

    @property
    def label(self) -> Any:
        """The layer that is painted on; None if none is shown."""
        return self.shown[-1] if self.shown else None

    def open(self) -> None:
        """Open a manifest, and show its first cube. Raises InputError."""
        if self.table.value is None:
            return
        found = read_manifest(Path(self.table.value))
        for cube in found:
            _check(cube)
        self.leave()
        self.cubes = found
        with self.cube.changed.blocked():
            self.cube.reset_choices()
            self.cube.value = found[0].name
        self.show()

    def now(self) -> int:
        """Return the index of the chosen cube."""
        return [cube.name for cube in self.cubes].index(self.cube.value)

    def step(self, by: int) -> None:
        """Go to another cube; the ends are joined."""
        if self.cubes:
            self.cube.value = self.cubes[(self.now() + by) % len(self.cubes)].name

    def show(self) -> None:
        """Show the chosen cube; a changed label of the previous one is saved first."""
        self.leave()
        cube = self.cubes[self.now()]
        image = open_image(cube)
        assert cube.label is not None
        layers = [
            volume_layer(image, f"{cube.name} image", "raw", levels_of(image)),
            volume_layer(open_volume(cube.label), f"{cube.name} label", "label", (0, 1)),
        ]
        add = {"image": self.viewer.add_image, "labels": self.viewer.add_labels}
        self.shown = [add[kind](data, **properties) for data, properties, kind in layers]
        self.saved = np.array(self.label.data)
        self.label.selected_label = 1
        self.label.mode = "paint"
        self.viewer.layers.selection.active = self.label
        self.says(f"cube {self.now() + 1} of {len(self.cubes)}; {_told(cube)}")

    def leave(self) -> None:
        """Save a changed label, and remove the layers of its cube."""
        if self.label is not None and not np.array_equal(self.saved, self.label.data):
            self.write()
        if self.label is not None:
            self.label.mode = "pan_zoom"  # or the brush of a removed layer stays
        for layer in self.shown:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.shown = []

    def write(self) -> None:
        """Save the label in its file. Raises WriteError."""
        if self.label is None:
            raise InputError("a cube is shown before its label is saved", found="none")
        names = [f"{cube.name} label" for cube in self.cubes]
        cube = self.cubes[names.index(self.label.name)]
        assert cube.label is not None
        voxels = np.array(self.label.data)
        with writing(cube.label):
            export_tiff(ArrayVolume(voxels, open_volume(cube.label).voxel_size_um), cube.label)
        self.saved = voxels
        self.says(f"saved {cube.label}: {np.count_nonzero(voxels):,} voxels are not 0")


def _check(cube: Cube) -> None:
    """Refuse a cube whose label is not a file of its own that may be changed."""
    found = ""
    if cube.label is None or not is_tiff(cube.label):
        found = "a label of another format" if cube.label else "no label"
    elif cube.box:
        found = "a box of a larger label"
    elif cube.label_sha256:
        found = "a label that must not change: its hash is in the manifest"
    if found:
        raise InputError(
            "cubes are annotated in TIFF files of their own",
            found=found,
            where=f"cube {cube.name!r}",
            cure="neuroglow select ... --export FOLDER, then FOLDER/manifest.csv",
        )


def _told(cube: Cube) -> str:
    """Say what the values of the label mean, and why the cube was chosen."""
    reason = cube.other.get("reason", "")
    return (cube.other.get("label_map") or LEGEND) + (f"; chosen: {reason}" if reason else "")
