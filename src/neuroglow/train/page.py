"""Pictures and page of a training run: one picture per validation, and the page at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.files.writing import appearing
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.pictures.colours import Pixels, glow, grey
from neuroglow.pictures.sheet import draw_sheet, image_png, three_panels
from neuroglow.pictures.view import View
from neuroglow.report import COLOURS, Page, new_figure
from neuroglow.space.geometry import Box
from neuroglow.space.projections import bin_size, block_projections
from neuroglow.space.volume import Array, VoxelSize
from neuroglow.train.validation import Validation

__all__ = ["cube_picture", "report_page", "write_picture"]

SIDE = 256
"""About how many pixels the longest side of a panel has."""

PICTURED = (
    "Maximum projections along z, y and x; from the top: image, probability over it (orange), "
    "label (white neurite, black background, blue ignored)."
)
SCORES = {"average_precision": "average precision", "dice": "Dice"}
"""What the log calls a score -> what the page calls it."""

IGNORED = (60, 90, 140)
"""Colour of ignored voxels, in the label's row."""


def cube_picture(x: Array, probability: Array, label: Array, size: VoxelSize | None) -> bytes:
    """Draw a PNG: projections along z, y, x of image, probability over it and label, one per row.

    x: the network's input (zyx), shown from its median to its brightest 500th. label: white
    for neurite, blue where ignored along the whole line of sight. size: of a voxel, zyx,
    micrometres; None if it is not known.
    """
    some = np.asarray(x[::2, ::2, ::2], np.float32)
    low, high = (float(v) for v in np.quantile(some, [0.5, 0.998]))
    plain = {a: grey(p, low, max(high, low + 1e-6)) for a, p in _along_axes(x).items()}
    found = _along_axes(np.asarray(probability, np.float32))
    rows = {
        "image": plain,
        "probability over image": {axis: glow(plain[axis], found[axis]) for axis in plain},
        "label": {axis: _label(part) for axis, part in _along_axes(_ranked(label)).items()},
    }
    view = View.of(x.shape, size, side=SIDE)
    return image_png(draw_sheet([three_panels(view, row, name) for name, row in rows.items()]))


def write_picture(path: Path, png: bytes) -> None:
    """Write a picture, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as partial:
        partial.write_bytes(png)


def report_page(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    validation: Validation | None,
    pictures: Sequence[tuple[bytes, str]],
    record: Mapping[str, Any],
) -> Page:
    """Make the page: curves, scores with their spread, worst and best cube, settings, command.

    rows: the log. validation: of the best model. pictures: with titles.
    """
    page = Page(title)
    started = next((row["validation"] for row in rows if row["step"] == 0), None)
    page.verdict(_summary(record, validation, started))
    page.chart(_curves(rows), _about_curves(rows), title="Curves")
    page.heading("Validation of the best model")
    if validation is None:
        page.paragraph("No cube was held out: the performance on unseen data is not known.")
    else:
        page.table(_spread(validation), "mean, spread and extremes over the validation cubes")
        if started:
            page.table(_from_start(started, validation), "the starting model, and the best one")
        page.table(_per_cube(validation), "each cube, the worst first")
    for png, which in pictures:
        page.picture(png, PICTURED, title=which)
    return page.settings(str(record["command"]), record["settings"])


def _along_axes(voxels: Array) -> dict[str, Array]:
    """Give maxima along each axis, in bins."""
    whole = np.asarray(voxels)
    return block_projections(whole, Box.of(whole.shape), bin_size(whole.shape))


def _ranked(label: Array) -> Array:
    """Rank a label for maximum projection: neurites before background before ignored."""
    table = np.array([1, 2, 0], np.uint8)
    assert (table[NEURITE], table[IGNORE]) == (2, 0)
    return np.asarray(table[np.asarray(label)])


def _label(part: Array) -> Pixels:
    colours = np.array([IGNORED, (0, 0, 0), (255, 255, 255)], np.uint8)
    return np.asarray(colours[part])


def _curves(rows: Sequence[Mapping[str, Any]]) -> Any:
    steps = [row for row in rows if "validation" not in row]
    checks = [row for row in rows if "validation" in row]
    figure = new_figure(width=9, height=3.6)
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in steps], [r["loss"] for r in steps], color=COLOURS[6], lw=0.5)
    at, mean = _running_mean(steps)
    left.plot(at, mean, color=COLOURS[0], label="training, running mean")
    left.set(xlabel="step", ylabel="loss")
    left.legend()
    checked = [r["step"] for r in checks]
    for name, colour in (("average precision", COLOURS[0]), ("Dice", COLOURS[1])):
        values = [r["validation"][name.lower().replace(" ", "_")] for r in checks]
        right.plot(checked, values, "o-", ms=3, color=colour, label=name)
    right.set(xlabel="step", ylabel="validation", ylim=(0, 1))
    right.legend()
    return figure


def _running_mean(steps: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    width = max(1, min(50, len(steps) // 5))
    losses = np.array([row["loss"] for row in steps], np.float64)
    sums = np.cumsum(np.insert(losses, 0, 0.0))
    mean = (sums[width:] - sums[:-width]) / width
    return [int(row["step"]) for row in steps[width - 1 :]], [float(m) for m in mean]


def _about_curves(rows: Sequence[Mapping[str, Any]]) -> str:
    steps = [row for row in rows if "validation" not in row]
    seconds = sum(row["seconds"] for row in steps)
    waiting = sum(row["waiting"] for row in steps)
    return (
        f"{len(steps)} steps, {seconds / max(1, len(steps)):.2f} s per step on average, "
        f"{waiting / max(seconds, 1e-9):.1%} of it waiting for data"
    )


def _summary(
    record: Mapping[str, Any],
    validation: Validation | None,
    started: Mapping[str, float] | None,
) -> str:
    """Say how good the best model is, and on which cubes."""
    split, text = record["split"], ""
    if validation is not None:
        row = validation.row()
        text = f"The best model: average precision {row['average_precision']:.3f}"
        text += (
            f" (the model it started from: {started['average_precision']:.3f})" if started else ""
        )
        text += (
            f", Dice {row['dice']:.3f} at threshold {row['threshold']:.3f}, which was chosen on "
            "these same cubes. Ignored voxels are not scored. "
        )
    text += f"{len(split['train'])} cubes to train on, {len(split['val'])} held out."
    if count := len(record.get("without_label", ())):
        text += f" {count} without a label {'was' if count == 1 else 'were'} left out."
    return text


def _figures(validation: Validation) -> dict[str, NDArray[np.float64]]:
    threshold = validation.row()["threshold"]
    return {
        "average precision": np.array([c.average_precision for c in validation.cubes]),
        f"Dice at {threshold:.3f}": np.array([c.dice(threshold) for c in validation.cubes]),
        "cross-entropy": np.array([c.loss for c in validation.cubes]),
    }


def _spread(validation: Validation) -> list[dict[str, Any]]:
    rows = []
    for name, values in _figures(validation).items():
        known = values[~np.isnan(values)]
        if known.size:
            spread = float(known.std(ddof=1)) if known.size > 1 else float("nan")
            ends = {"lowest": float(known.min()), "highest": float(known.max())}
            rows.append({"score": name, "mean": float(known.mean()), "SD": spread, **ends})
    return rows


def _from_start(started: Mapping[str, float], validation: Validation) -> list[dict[str, Any]]:
    """Compare the model that the run started from with the best, on the same cubes."""
    both = {"started from": started, "best": validation.row()}
    return [
        {"model": name} | {SCORES.get(key, key): value for key, value in scores.items()}
        for name, scores in both.items()
    ]


def _per_cube(validation: Validation) -> list[dict[str, Any]]:
    figures = _figures(validation)
    order = np.argsort(figures["average precision"])
    return [
        {"cube": validation.cubes[i].name, **{k: float(v[i]) for k, v in figures.items()}}
        for i in order
    ]
