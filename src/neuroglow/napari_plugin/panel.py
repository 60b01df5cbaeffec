"""Panels of the plugin: rows of controls, and a line below them that says what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neuroglow.errors import NeuroglowError

__all__ = ["Says", "button", "labelled", "panel_of", "without_brush_box"]


class Says:
    """The line of a panel that says what happened."""

    def __init__(self) -> None:
        from magicgui.widgets import Label

        self.widget: Any = Label(value="", name="says", label=" ")  # "" would show the name
        self.widget.native.setWordWrap(True)

    def __call__(self, text: str) -> None:
        """Say this."""
        self.widget.value = text

    def instead_of(self, act: Callable[[], object]) -> Callable[[], None]:
        """Return an action that says our errors here, instead of raising them."""

        def acted() -> None:
            try:
                act()
            except NeuroglowError as error:
                self(str(error))

        return acted


def button(text: str, act: Callable[[], object], says: Says, *, enabled: bool = True) -> Any:
    """Make a button."""
    from magicgui.widgets import PushButton

    made = PushButton(text=text, name=text.lower().replace(" ", "_"), enabled=enabled)
    acted = says.instead_of(act)
    made.clicked.connect(lambda *_: acted())
    return made


def labelled(label: str, kind: str, **options: Any) -> Any:
    """Make a control of magicgui by the name of its class."""
    from magicgui import widgets

    return getattr(widgets, kind)(label=label, name=label.replace(" ", "_"), **options)


def panel_of(owner: object, rows: Sequence[Any | Sequence[Any]]) -> Any:
    """Put controls below each other, those of a list next to each other. owner: lives as long."""
    from magicgui.widgets import Container

    lines = [
        Container(widgets=row, layout="horizontal", labels=False) if isinstance(row, list) else row
        for row in rows
    ]
    panel = Container(widgets=lines)
    panel.native.neuroglow_owner = owner
    return panel


def without_brush_box(viewer: Any) -> None:
    """Take away the box behind the brush, which napari 0.9 leaves on the canvas after painting.

    When the sliders next change the size of the canvas, drawing it can end napari.
    """
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    brush = getattr(overlays, "_brush_circle", None)  # napari names it so since 0.9
    if brush is not None and hasattr(brush, "box"):
        brush.box = False
