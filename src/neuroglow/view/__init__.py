"""View: a volume, its probability and its trees -> neuroglancer in a browser, or napari."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from neuroglow.errors import SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.settings import check_settings
from neuroglow.space.arrays import VolumeSource
from neuroglow.view.scene import open_scene
from neuroglow.view.settings import ViewSettings

__all__ = ["OpenView", "ViewSettings", "view"]


class OpenView(Protocol):
    """A view that is open."""

    @property
    def url(self) -> str:
        """The address in a browser, or nothing for napari."""

    def wait(self) -> None:
        """Wait until a person ends it: by Ctrl-C, or by closing the window."""

    def close(self) -> None:
        """End it."""


@spelled_out(ViewSettings)
def view(  # noqa: PLR0913  # every option, for editors
    volume: VolumeSource,
    probability: VolumeSource | None = None,
    trees: str | Path | None = None,
    *,
    threshold: float | None = None,
    voxel_size: Sequence[float] | None = None,
    channel: int | None = None,
    time: int | None = None,
    swc_unit: Literal["um", "voxel", "nm"] | None = None,
    offset: Sequence[float] | None = None,
    state: str | Path | None = None,
    port: int = 0,
    napari: bool = False,
) -> OpenView:
    """Open a volume in neuroglancer or napari, with its probability and trees over it.

    volume, probability: anything that open_volume reads. trees: an SWC file or a folder of them.
    Returns the open view: `url` is its address, `wait` waits for its end, `close` ends it.
    Raises InputError for files that do not belong together, SettingsError without the viewer.
    """
    settings = check_settings(ViewSettings, given())
    viewer = "napari" if settings.napari else "neuroglancer"
    _check(settings, viewer)
    scene = open_scene(volume, probability, trees, settings)
    if settings.napari:
        from neuroglow.view.in_napari import open_in_napari

        return open_in_napari(scene)
    from neuroglow.view.in_browser import open_in_browser

    return open_in_browser(scene, port=settings.port, state=settings.state)


def _check(settings: ViewSettings, viewer: str) -> None:
    """Refuse what the viewer cannot do, or a viewer that is not installed."""
    if settings.napari and (settings.state is not None or settings.port):
        raise SettingsError(
            "a state and a port are of neuroglancer",
            found="--napari together with --state or --port",
            cure="leave out one of them",
        )
    if find_spec(viewer) is None:
        raise SettingsError(
            f"{viewer} must be installed to be opened",
            found="it is not",
            cure=f'pip install "neuroglow[{viewer}]"',
        )
