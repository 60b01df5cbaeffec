"""The test set: six synthetic volumes, easy to hard; truth and three models' predictions.

DB-Enhance shipped one: six volumes, each predicted by the network of a few chosen cubes and by
that of all. Here the volumes are phantoms, so that the truth is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow import metrics
from neuroglow.errors import OutputError
from neuroglow.files.record import read_record
from neuroglow.files.writing import appearing, writing
from neuroglow.formats.opening import open_volume
from neuroglow.phantom import IGNORE, NEURITE
from neuroglow.pictures.colours import GAMMA, glow, grey, range_of
from neuroglow.pictures.sheet import Panel, draw_sheet, image_png
from neuroglow.pictures.stack import FOUND_KEYS, Stack, gather_slabs
from neuroglow.pictures.view import View
from neuroglow.report import Page
from neuroglow.runs.unfinished import Unfinished
from neuroglow.space.geometry import Box

__all__ = ["LEVELS", "MODELS", "TestsetReport", "make_testset"]

LEVELS: dict[str, dict[str, Any]] = {
    "1-sparse": {"region": "sparse", "snr": (8.0, 20.0)},
    "2-bundle": {"region": "bundle", "snr": (3.0, 8.0)},
    "3-plexus": {"region": "plexus", "snr": (2.5, 6.0)},
    "4-deep": {"region": "deep", "snr": (2.0, 5.0)},
    "5-sparse-dim": {"region": "sparse", "snr": (3.0, 6.0)},
    "6-near-noise": {"region": "near_noise", "snr": (1.5, 3.0)},
}
"""Folder -> settings of the phantom, the easiest first."""

DEFINITIONS = {
    "average precision": "precision summed over the steps of recall, of voxels, at all thresholds",
    "precision": "share of the detected voxels within 2 voxels of a true one",
    "recall": "share of the true voxels within 2 voxels of a detected one",
    "F1": "harmonic mean of precision and recall within 2 voxels, at each model's own threshold",
}

PANEL = 240
"""About how many pixels a panel has."""

RECORD = "testset.json"
PAGE = "testset.html"

MODELS = ("light-microscopy", "dhpr-300", "uses-1500")
"""The bundled default first; then the two models that compare few cubes with many."""


@dataclass(frozen=True)
class TestsetReport:
    """The result: the page, and one row per volume and model."""

    __test__ = False  # its name starts with Test, but it is not one for pytest

    page: Path
    rows: tuple[dict[str, Any], ...]


def make_testset(
    out: str | Path,
    *,
    seed: int = 1,
    size: int = 96,
    models: tuple[str, ...] = MODELS,
    say: Callable[[str], object] = lambda _: None,
) -> TestsetReport:
    """Make the six volumes in `out`, predict each with each model, and score them.

    out: a new folder, or an interrupted test set with the same seed, size and models, which is
        continued; it gets one folder per volume: image.tif, label.tif, tree.swc,
        neurites.csv, and MODEL_prob.tif, MODEL_mip.png, MODEL_run.json of each model; and
        testset.html.
    size: voxels per axis. say: called with each line of progress.

    Raises OutputError if `out` is complete or another one, ModelError for an unknown model.
    """
    from neuroglow.network.models import find_model
    from neuroglow.phantom import phantom_cube

    folder = Path(out)
    for model in models:
        find_model(model)
    _claim(folder, {"seed": seed, "size": size, "models": list(models)})
    rows: list[dict[str, Any]] = []
    for number, (name, settings) in enumerate(LEVELS.items(), start=1):
        say(f"{number}/{len(LEVELS)}  {name}")
        if not (folder / name / "cube.json").exists():  # it appears complete
            phantom_cube(folder / name, seed=seed + number, shape=(size,) * 3, **settings)
        for model in models:
            probability = _predicted(folder / name, model)
            rows.append(_score(name, model, folder / name / "label.tif", probability))
            say("     " + "  ".join(f"{key} {_short(value)}" for key, value in rows[-1].items()))
    page = _page(folder, rows, seed, models)
    say(str(page))
    return TestsetReport(page, tuple(rows))


def _claim(folder: Path, asked: dict[str, Any]) -> None:
    """Begin a test set, or continue one with the same record."""
    record = folder / RECORD
    if not (folder.exists() and any(folder.iterdir())):
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with appearing(record) as partial:
            partial.write_text(json.dumps(asked), encoding="utf-8")
        return
    unfinished = record.is_file() and not (folder / PAGE).exists()
    if not unfinished or json.loads(record.read_text(encoding="utf-8")) != asked:
        raise OutputError(
            "an existing output is not overwritten",
            found="an unfinished test set with other settings" if unfinished else "it exists",
            where=str(folder),
            cure="another -o" + ("; the original command continues it" if unfinished else ""),
        )


def _predicted(folder: Path, model: str) -> Path:
    """Predict one volume, unless an interrupted run already has."""
    from neuroglow.predict import predict

    probability = folder / f"{Path(model).name}_prob.tif"
    unfinished = Unfinished(probability).folder
    if unfinished.exists() or not probability.exists() or read_record(probability) is None:
        predict(folder / "image.tif", out=probability, model=model, mode="restart")
    return probability


def _score(name: str, model: str, label: Path, probability: Path) -> dict[str, Any]:
    """Score voxels: average precision, and at the model's threshold within 2 voxels."""
    from neuroglow.network.model_settings import read_settings
    from neuroglow.network.models import find_model

    truth, found = (_all_of(path) for path in (label, probability))
    threshold = read_settings(find_model(model)).threshold
    counted = truth != IGNORE
    detected = metrics.detection(found > 255 * threshold, truth == NEURITE, ignore=~counted)
    return {
        "volume": name,
        "model": Path(model).name,
        "average precision": metrics.average_precision(found[counted], truth[counted] == NEURITE),
        "precision": detected.precision,
        "recall": detected.recall,
        "F1": detected.f1,
    }


def _all_of(path: Path) -> Any:
    volume = open_volume(path)
    return volume.read(Box.of(volume.shape))


def _page(folder: Path, rows: list[dict[str, Any]], seed: int, models: tuple[str, ...]) -> Path:
    names = [Path(model).name for model in models]
    page = Page("The test set: six synthetic volumes", DEFINITIONS).verdict(_verdict(rows, names))
    page.paragraph(
        f"Made by `neuroglow testset`, seed {seed}. All synthetic, from easy to hard. Ignored "
        "voxels are not scored."
    )
    for score in ("average precision", "F1"):
        page.heading(score).table(_matrix(rows, names, score), DEFINITIONS[score])
    for name in LEVELS:
        scores = ", ".join(
            f"{r['model']} {r['average precision']:.2f}" for r in rows if r["volume"] == name
        )
        page.heading(name)
        page.picture(_drawn(folder / name, names), f"Average precision: {scores}.", title=name)
        caption = f"The prediction of {names[0]}, compared with the truth, in slabs of planes."
        page.stack(_stack(folder / name, models[0]), caption, title=f"{name}, plane by plane")
    return page.details("All scores", rows).write(folder / PAGE)


def _verdict(rows: list[dict[str, Any]], models: list[str]) -> str:
    """Summarise the scores of the first model, and how often it is the best."""
    by_volume = {
        name: {r["model"]: r["average precision"] for r in rows if r["volume"] == name}
        for name in LEVELS
    }
    first, *_, last = LEVELS
    own, best = models[0], sum(max(v.values()) == v[models[0]] for v in by_volume.values())
    return (
        f"{own}: average precision {by_volume[first][own]:.2f} on {first}, the easiest volume, to "
        f"{by_volume[last][own]:.2f} on {last}, the hardest; the best of {len(models)} models on "
        f"{best} of {len(LEVELS)} volumes."
    )


def _matrix(rows: list[dict[str, Any]], models: list[str], score: str) -> list[dict[str, Any]]:
    """Return one row per volume, with one column per model."""
    scores = {(r["volume"], r["model"]): float(r[score]) for r in rows}
    return [{"volume": v} | {m: scores[v, m] for m in models} for v in LEVELS]


def _drawn(folder: Path, models: list[str]) -> bytes:
    """Draw a volume, its truth, and each model's probability over it; along z."""
    volume = open_volume(folder / "image.tif")
    view = View.of(volume.shape, volume.voxel_size_um, side=PANEL)
    raw = _all_of(folder / "image.tif").max(axis=0)
    plain = grey(raw.astype(np.float32), *range_of({"z": raw}), GAMMA)
    truth = _all_of(folder / "label.tif")
    shown = {"raw": plain, "truth": grey((truth == NEURITE).max(axis=0), 0, 1)}
    for model in models:
        probability = _all_of(folder / f"{model}_prob.tif").max(axis=0) / 255
        shown[model] = glow(plain, probability)
    panels = [Panel(view.enlarge(p, 0), name, view.bar(0)) for name, p in shown.items()]
    return image_png(draw_sheet([panels], note=f"maximum along z of {volume.shape[0]} planes"))


def _stack(folder: Path, model: str) -> Stack:
    """Show the raw image, one model's prediction and the truth in slabs."""
    from neuroglow.network.model_settings import read_settings
    from neuroglow.network.models import find_model

    raw, found, label = (
        open_volume(folder / name)
        for name in ("image.tif", f"{Path(model).name}_prob.tif", "label.tif")
    )
    table = np.zeros(256, np.float32)
    table[NEURITE], table[IGNORE] = 1, 0.5
    images: dict[str, Callable[[Box], Any]] = {
        "grey": raw.read,
        "score": lambda box: found.read(box) / np.float32(255),
        "truth": lambda box: table[label.read(box)],
    }
    slabs = gather_slabs(raw.shape, raw.voxel_size_um, images, 128)
    threshold = read_settings(find_model(model)).threshold
    return slabs.stack(threshold=threshold, over="detections", keys=FOUND_KEYS)


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)
