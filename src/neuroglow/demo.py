"""The demonstration: a phantom, predicted and compared with methods without a network.

All data are synthetic, and labelled so. Raw intensity, noise units, a Sato filter and the
model are compared at equal precision, each at the threshold that reaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow import metrics
from neuroglow.files.writing import writing
from neuroglow.imaging import optics
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.imaging.ridges import ridges
from neuroglow.phantom import NEURITE, Phantom, PhantomSettings, centreline, make_phantom, to_tree
from neuroglow.pictures.colours import glow, grey, range_of
from neuroglow.pictures.sheet import Panel, draw_sheet, write_sheet
from neuroglow.pictures.view import View
from neuroglow.trees.swc import write_swc

__all__ = ["DemoReport", "run_demo"]

Array = NDArray[Any]

SIZED = {"resolution": (1, 1), "metadata": {"axes": "ZYX", "spacing": 1.0, "unit": "um"}}
"""How tifffile writes that a voxel is 1 um along each axis."""

SETTINGS = PhantomSettings(
    shape=(96, 192, 192),
    neurites=(24, 24),
    snr=(1.8, 2.6),
    radius_vox=(0.3, 0.8),
    tortuosity=(0.03, 0.08),
    blur_vox=(0.9, 1.1),
    anisotropy=(1.3, 1.5),
    correlation_vox=(0.3, 0.5),
    unevenness=(0.5, 0.6),
    distractors=(5.0, 0.0, 0.0, 0.0),
)
CAMERA = optics.Camera(offset=420.0, noise_level=35.0, shot=0.1, bits=16)
MODEL = "light-microscopy"
PRECISIONS = (0.8, 0.5)
SIDE = 384
"""About how many pixels a panel of the picture has."""


@dataclass(frozen=True)
class DemoReport:
    """The result of the demo.

    detection: precision and recall of the model's voxels at its own threshold.
    length: method -> recall of the neurites' length at each of PRECISIONS.
    """

    picture: Path
    detection: metrics.Detection
    length: dict[str, tuple[float, ...]]


def run_demo(
    out: str | Path = "demo", *, seed: int = 1, say: Callable[[str], object] = lambda _: None
) -> DemoReport:
    """Make a phantom of SNR about 2, predict, score, and draw.

    out: a folder; it gets phantom.tif, truth.tif, truth.swc, phantom_prob.tif and demo.png.
    say: called with each line of progress.

    Raises WriteError if `out` cannot be written.
    """
    import tifffile

    from neuroglow.network.checkpoint import load_model
    from neuroglow.network.models import find_model
    from neuroglow.predict import predict

    folder = Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    z, y, x = SETTINGS.shape
    say(f"1/4  a synthetic volume of {z} x {y} x {x} voxels, neurites of SNR about 2")
    phantom = make_phantom(np.random.default_rng(seed), SETTINGS, camera=CAMERA)
    image = folder / "phantom.tif"
    with writing(folder):
        tifffile.imwrite(image, phantom.image, imagej=True, **SIZED)  # type: ignore[arg-type]
        tifffile.imwrite(folder / "truth.tif", phantom.label, compression="zlib")
    write_swc(to_tree(phantom.scene.neurites), folder / "truth.swc", comment="synthetic; voxels")
    say("2/4  predicting with the bundled model light-microscopy")
    predict(image, out=folder / "phantom_prob.tif", mode="restart", dtype="uint8")
    probability = tifffile.imread(folder / "phantom_prob.tif")
    say(
        "3/4  scoring against the truth, compared with raw intensity, noise units and a Sato filter"
    )
    threshold = load_model(find_model(MODEL)).settings.threshold * 255
    maps = _without_network(phantom.image) | {"neuroglow": probability}
    report = _score(phantom, maps, threshold, folder / "demo.png")
    say("4/4  drawing")
    _draw(phantom, maps, report)
    for line in _table(report):
        say(f"     {line}")
    say(str(report.picture))
    return report


def _without_network(image: Array) -> dict[str, Array]:
    units = to_noise_units(image)
    return {"raw": image.astype(np.float32), "noise units": units, "Sato": ridges(units)}


def _score(phantom: Phantom, maps: dict[str, Array], threshold: float, picture: Path) -> DemoReport:
    truth = phantom.label == NEURITE
    middle = centreline(phantom.scene.neurites, SETTINGS.shape) & (phantom.label > 0)
    length = {
        name: tuple(
            metrics.length_at_precision(score, truth, middle, precision=precision)[0]
            for precision in PRECISIONS
        )
        for name, score in maps.items()
    }
    own = metrics.detection(maps["neuroglow"] > threshold, truth)
    return DemoReport(picture, own, length)


def _table(report: DemoReport) -> list[str]:
    """Return the scores as lines of text."""
    found = report.detection
    return [
        f"{'length found, at a precision of':<40}" + "".join(f"{p:>7.0%}" for p in PRECISIONS),
        *(
            f"{name:<40}" + "".join(f"{share:>7.1%}" for share in shares)
            for name, shares in report.length.items()
        ),
        "neuroglow at its own threshold:",
        f"precision {found.precision:.2f}, recall {found.recall:.2f}, F1 {found.f1:.2f}",
        "(synthetic data; within 2 voxels)",
    ]


def _draw(phantom: Phantom, maps: dict[str, Array], report: DemoReport) -> None:
    """Draw maxima along z: the image, each method, the truth, and what is found over the image."""
    view = View.of((1, *phantom.image.shape[1:]), None, side=SIDE)
    flat = {name: np.asarray(volume, np.float32).max(axis=0) for name, volume in maps.items()}
    shown = {name: grey(part, *range_of({"z": part})) for name, part in flat.items()}
    found = flat["neuroglow"] / 255
    shown["neuroglow"] = grey(found, 0, 1)
    shown["truth"] = grey((phantom.label == NEURITE).max(axis=0), 0, 1)
    shown["neuroglow, over raw"] = glow(shown["raw"], found)
    rows = [
        [Panel(view.enlarge(shown[name], 0), _title(name, report), view.bar(0)) for name in row]
        for row in (("raw", "noise units", "Sato"), ("truth", "neuroglow", "neuroglow, over raw"))
    ]
    high, low = PRECISIONS
    note = (
        f"In %: length found at {high:.0%} precision (at {low:.0%}). Maxima along z, "
        f"{len(phantom.image)} planes; synthetic, SNR about 2"
    )
    write_sheet(report.picture, draw_sheet(rows, note=note))


def _title(name: str, report: DemoReport) -> str:
    """Name a panel, and say how much of the length its method finds."""
    if name not in report.length:
        return name
    high, low = report.length[name]
    return f"{name}: {high:.0%} ({low:.0%})"
