"""A scene in napari: its layers in a window, in 3D."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from neuroglow.view.layers import layers_of
from neuroglow.view.scene import Scene

__all__ = ["InNapari", "open_in_napari"]


@dataclass
class InNapari:
    """A scene that is open in napari. viewer: napari's own. url: empty, it has no address."""

    viewer: Any = field(repr=False)
    url: str = ""

    def wait(self) -> None:
        """Wait until the window is closed."""
        import napari

        napari.run()

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()


def open_in_napari(scene: Scene) -> InNapari:
    """Open a window of napari with the layers of a scene."""
    import napari

    viewer = napari.Viewer(title=f"neuroglow: {scene.raw.name}")
    for data, properties, kind in layers_of(scene):
        getattr(viewer, f"add_{kind}")(data, **properties)
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    viewer.scale_bar.visible = True
    return InNapari(viewer)
