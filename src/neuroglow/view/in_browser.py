"""A scene in neuroglancer: its server, its sources, and the state that a person leaves.

neuroglancer's own server is used: on this machine's loopback, under a random token. An OME-Zarr
that neuroglancer reads itself is served as its files; any other volume is read by box, chunk by
chunk.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroglow.errors import SettingsError
from neuroglow.files.writing import writing
from neuroglow.formats.ome_zarr import OmeZarrVolume
from neuroglow.view.layers import lazy_levels
from neuroglow.view.lazy import SHOWN
from neuroglow.view.levelled import levelled
from neuroglow.view.scene import Scene, Shown
from neuroglow.view.skeletons import ATTRIBUTES, properties_of, skeleton_of
from neuroglow.view.state import (
    TABLE,
    TREES,
    VOLUME,
    dimensions_of,
    exchanged,
    read_state,
    state_of,
)

__all__ = ["InBrowser", "codecs_of", "is_served_as_files", "open_in_browser"]

CODECS = {"blosc", "gzip", "zlib", "zstd", "bytes", "crc32c", "sharding_indexed", "transpose"}
"""Codecs of zarr that neuroglancer decodes."""


@dataclass
class InBrowser:
    """A scene that is open in neuroglancer.

    url: where a browser finds it, until `close`. saves: the file of its state, if it has one.
    """

    url: str
    saves: Path | None
    viewer: Any = field(repr=False)
    names: dict[str, str] = field(repr=False)
    folder: Path = field(repr=False)

    def state(self) -> dict[str, Any]:
        """Return the state as a person left it; it opens again with the same files."""
        return dict(exchanged(self.viewer.state.to_json(), self.names))

    def save(self, path: Path) -> None:
        """Write the state. Raises WriteError."""
        with writing(path):
            path.write_text(json.dumps(self.state(), indent=1) + "\n", encoding="utf-8")

    def wait(self) -> None:
        """Wait for Ctrl-C; then write the state, and close."""
        try:
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
        finally:
            self.close()

    def close(self) -> None:
        """Write the state if it has a file, and stop the server."""
        import neuroglancer

        try:
            if self.saves is not None:
                self.save(self.saves)
        finally:
            neuroglancer.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _repr_html_(self) -> str:
        return f'<a href="{self.url}" target="_blank">neuroglancer</a>'


def open_in_browser(scene: Scene, *, port: int = 0, state: Path | None = None) -> InBrowser:
    """Open a scene in neuroglancer; it is shown as soon as a browser opens its address.

    Raises SettingsError if the port is taken, InputError for a state that does not fit.
    """
    import neuroglancer

    kept = read_state(state, scene) if state is not None and state.exists() else state_of(scene)
    _start(port)
    viewer = neuroglancer.Viewer(allow_credentials=False)  # none of the user's are needed
    folder = Path(tempfile.mkdtemp(prefix="neuroglow-view-"))
    sources = {
        VOLUME.format(at): _volume_source(shown, scene, viewer)
        for at, shown in enumerate(scene.volumes)
    }
    if scene.trees:
        sources[TREES], sources[TABLE] = _trees_sources(scene, viewer, folder)
    viewer.set_state(neuroglancer.ViewerState(exchanged(kept, sources)))
    names = {address: name for name, address in sources.items()}
    return InBrowser(viewer.get_viewer_url(), state, viewer, names, folder)


def _start(port: int) -> None:
    """Start neuroglancer's server. Raises SettingsError if it cannot listen on the port."""
    import neuroglancer

    neuroglancer.set_server_bind_address("127.0.0.1", port)
    try:
        neuroglancer.server.start()
    except OSError as error:
        raise SettingsError(
            "the port must be free",
            found=error.strerror or str(error),
            where=f"--port {port}",
            cure="another port; without --port a free one is taken",
        ) from None


def is_served_as_files(shown: Shown, scene: Scene) -> bool:
    """Tell whether neuroglancer reads a volume by itself, and sees it as we do."""
    volume = shown.volume
    return (
        isinstance(volume, OmeZarrVolume)
        and bool(volume.array)
        and volume.axes.order == (0, 1, 2)
        and len(volume.stored[0]) == 3
        and volume.stored[1] in SHOWN
        and volume.origin_vox == shown.at
        and isinstance(volume.path, Path)
        and (volume.path / volume.array).is_dir()
        and _is_as_stored(volume, scene)
    )


def _is_as_stored(volume: OmeZarrVolume, scene: Scene) -> bool:
    """Tell whether the file states the voxel size in use, and has codecs that a browser knows."""
    import zarr

    from neuroglow.formats.ngff import image_in

    assert isinstance(volume.path, Path)
    image = image_in(volume.path, zarr.open(volume.path, mode="r"))
    text = volume.path / volume.array
    meta = next((text / n for n in ("zarr.json", ".zarray") if (text / n).is_file()), None)
    if meta is None or image.voxel_size_um != scene.voxel_size_um:
        return False
    return codecs_of(json.loads(meta.read_text(encoding="utf-8"))) <= CODECS


def codecs_of(meta: Any) -> set[str]:
    """Name the codecs of an array's metadata, zarr 2 or 3; those of shards too."""
    if "codecs" not in meta and "compressor" in meta:
        given = [meta["compressor"], *(meta.get("filters") or [])]
        return {str(one.get("id")) for one in given if one}
    found = set()
    for codec in meta.get("codecs", []):
        found |= {str(codec["name"])} | codecs_of(codec.get("configuration") or {})
    return found


def _volume_source(shown: Shown, scene: Scene, viewer: Any) -> str:
    """Offer a volume to the browser, and return its address."""
    if is_served_as_files(shown, scene):
        path = shown.volume.path  # type: ignore[attr-defined]  # it is an OME-Zarr
        version = 3 if (path / "zarr.json").exists() else 2
        return f"zarr{version}://{_served(path)}"
    levels = lazy_levels(shown.volume)
    local = levelled(
        levels, dimensions=_space(scene, "zyx"), voxel_offset=shown.at, volume_type="image"
    )
    return str(viewer.volume_manager.register_volume(local))


def _served(folder: Path) -> str:
    """Serve the files of a folder under a random name, and return its address."""
    import neuroglancer
    import tornado.web

    server, name = neuroglancer.server.global_server, secrets.token_hex(20)
    handler = (rf"/{name}/(.*)", tornado.web.StaticFileHandler, {"path": str(folder.resolve())})
    server.app.add_handlers(r".*", [handler])
    return f"{server.server_url}/{name}/"


def _space(scene: Scene, order: str) -> Any:
    """Return the axes of a source in this order."""
    import neuroglancer

    axes = dimensions_of(scene)
    return neuroglancer.CoordinateSpace(
        names=list(order),
        scales=[axes[axis][0] for axis in order],
        units=[axes[axis][1] for axis in order],
    )


def _trees_sources(scene: Scene, viewer: Any, folder: Path) -> tuple[str, str]:
    """Offer the trees as skeletons, and a table of them; return both addresses."""
    import neuroglancer
    import numpy as np

    trees = {tree.number: tree.tree for tree in scene.trees}
    source = neuroglancer.skeleton.SkeletonSource(_space(scene, "xyz"))
    for name in ATTRIBUTES:
        info = neuroglancer.skeleton.VertexAttributeInfo(np.float32, 1)
        source.vertex_attributes[name] = info

    def get_skeleton(number: int) -> Any:
        if number not in trees:
            return None
        made = skeleton_of(trees[number], scene.size, scene.raw.at)
        return neuroglancer.skeleton.Skeleton(made.vertices, made.edges, made.attributes)

    source.get_skeleton = get_skeleton
    table = properties_of(scene.trees, "um" if scene.voxel_size_um else "voxels")
    (folder / "info").write_text(json.dumps(table), encoding="utf-8")
    address = str(viewer.volume_manager.register_volume(source))
    return address, f"precomputed://{_served(folder)}"
