"""The panel Enhance: the probability of a layer, or of its visible box, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.errors import InputError, NeuroglowError
from neuroglow.napari_plugin.panel import Says, button, labelled, panel_of
from neuroglow.network.models import list_models
from neuroglow.predict import predict
from neuroglow.progress import Progress
from neuroglow.space.geometry import Box, Zyx
from neuroglow.view.lazy import LazyArray

__all__ = ["Enhancing", "enhance", "visible_box"]

EVERY_MS = 100
VISIBLE, WHOLE = "visible box", "whole layer"


class CancelledError(Exception):
    """A person cancelled the prediction."""


@dataclass(frozen=True)
class Job:
    """One prediction: a volume or an array, its box, a model; and the layer that it is of."""

    source: Any
    box: Box
    model: str
    layer: Any


def enhance() -> Any:
    """Make the panel, of the viewer in front."""
    import napari

    return Enhancing(napari.current_viewer()).panel


class Enhancing:
    """The panel and its one thread, whose messages a timer takes."""

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtCore import QTimer

        self.viewer = viewer
        self.says = Says()
        self.layer = labelled("image", "ComboBox", choices=lambda _: self.images())
        self.model = labelled(
            "model", "ComboBox", choices=[m.name for m in list_models()], value="light-microscopy"
        )
        self.folder = labelled("or its folder", "FileEdit", mode="d", nullable=True, value=None)
        self.where = labelled("of", "ComboBox", choices=[VISIBLE, WHOLE])
        self.planes = labelled("planes", "SpinBox", value=64, min=1, max=4096)
        self.bar = labelled("progress", "ProgressBar", value=0, max=1000)
        self.run = button("Enhance", self.start, self.says)
        self.stop = button("Cancel", self.cancel, self.says, enabled=False)
        rows = [self.layer, self.model, self.folder, self.where, self.planes]
        self.panel = panel_of(self, [*rows, [self.run, self.stop], self.bar, self.says.widget])
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(lambda _: self.layer.reset_choices())
        self.told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self.timer = QTimer(self.panel.native)
        self.timer.timeout.connect(self.hear)

    def images(self) -> list[Any]:
        """List the layers that can be predicted."""
        return [v for v in self.viewer.layers if type(v).__name__ == "Image" and v.ndim == 3]

    def start(self) -> None:
        """Begin to predict. Raises InputError without an image of three axes."""
        job = self.job()
        self.cancelled.clear()
        self.busy(at_work=True)
        self.says(f"{job.model}: {job.box} of {job.layer.name}")
        threading.Thread(target=self.work, args=(job,), daemon=True).start()
        self.timer.start(EVERY_MS)

    def job(self) -> Job:
        """Describe the prediction that is asked for."""
        layer = self.layer.value
        if layer is None:
            raise InputError(
                "an image layer of three axes is enhanced", found="none", cure="open one"
            )
        finest = layer.data[0] if layer.multiscale else layer.data
        box = Box.of(tuple(finest.shape))
        if self.where.value == VISIBLE:
            box = self.visible(layer, box.shape)
        source = finest.volume if isinstance(finest, LazyArray) else np.asarray(finest)
        folder = self.folder.value
        return Job(source, box, str(folder) if folder else self.model.value, layer)

    def visible(self, layer: Any, shape: Zyx) -> Box:
        """Return the box of a layer that the canvas shows."""
        corners = np.asarray(layer.corner_pixels, float)
        if layer.multiscale:
            corners = corners * np.asarray(layer.downsample_factors[layer.data_level])
        shown = {axis - (self.viewer.dims.ndim - 3) for axis in self.viewer.dims.displayed}
        point = np.asarray(layer.world_to_data(self.viewer.dims.point))[-3:]
        return visible_box(corners, point, shown, shape, int(self.planes.value))

    def cancel(self) -> None:
        """Ask the thread to end."""
        self.cancelled.set()
        self.says("cancelling")

    def work(self, job: Job) -> None:
        """Predict, in the thread; whatever happens is told."""
        try:
            found = predict(
                job.source, model=job.model, roi=str(job.box), on_progress=self.tell, progress=False
            )
            self.told.put(("done", (job, found)))
        except Exception as error:
            if self.cancelled.is_set():
                self.told.put(("ended", "cancelled: nothing was added"))
            else:
                own = isinstance(error, NeuroglowError)
                text = str(error) if own else f"{type(error).__name__}: {error}"
                self.told.put(("ended", text))

    def tell(self, progress: Progress) -> None:
        """Pass the progress on; raises CancelledError once a person has cancelled."""
        if self.cancelled.is_set():
            raise CancelledError
        if progress.total:
            self.told.put(("share", progress.done / progress.total))

    def hear(self) -> None:
        """Take what the thread has told, in the thread of the window."""
        while not self.told.empty():
            kind, value = self.told.get()
            if kind == "share":
                self.bar.value = round(1000 * value)
                continue
            self.timer.stop()
            self.busy(at_work=False)
            if kind == "done":
                self.add(*value)
            else:
                self.says(value)

    def busy(self, *, at_work: bool) -> None:
        """Let only that be clicked which is possible."""
        self.run.enabled, self.stop.enabled = not at_work, at_work
        self.bar.value = 0

    def add(self, job: Job, found: Any) -> None:
        """Add the probability as a layer over the image."""
        scale = np.asarray(job.layer.scale)[-3:]
        place = np.asarray(job.layer.translate)[-3:] + np.multiply(job.box.start, scale)
        added = self.viewer.add_image(
            found,
            name=f"{job.layer.name} probability",
            scale=scale,
            translate=place,
            units=job.layer.units,
            contrast_limits=(0, 1),
            colormap="inferno",
            blending="additive",
            metadata={"neuroglow": {"kind": "probability", "model": job.model}},
        )
        self.says(f"{added.name}: the highest is {float(np.max(found)):.2f}")


def visible_box(
    corners: Any, point: Sequence[float] | Any, shown: set[int], shape: Zyx, planes: int
) -> Box:
    """Return the box (voxels) that a canvas shows of a volume.

    corners: (2, 3), of the part on the canvas. point: the current voxel. shown: axes of the canvas;
    along each other one, `planes` around the point are taken. Raises InputError if it is empty.
    """
    start, stop = [], []
    for axis, length in enumerate(shape):
        if axis in shown:
            low, high = int(np.floor(corners[0][axis])), int(np.ceil(corners[1][axis])) + 1
        else:
            low = round(float(point[axis])) - planes // 2
            high = low + planes
        start.append(min(max(0, low), length))
        stop.append(max(min(high, length), 0))
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        raise InputError("the image must be visible", found="it lies outside the canvas")
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
