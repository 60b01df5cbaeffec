"""The curves, the map and the example of a report of sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.recovery.trial import Pictured, Trial
from neuroglow.report import COLOURS, figure_png, image_png, new_figure
from neuroglow.space.geometry import Zyx

__all__ = ["draw_example", "draw_false", "draw_map", "draw_recall"]

Pixels = NDArray[np.uint8]

ZOOM_TO, GAP, HEAD = 190, 6, 18


def draw_recall(results: Mapping[str, Any], share: float) -> bytes:
    """Draw the recall of each method over SNR; the model's with its interval."""
    figure = new_figure(width=9, height=4)
    axis = figure.subplots()
    keys = list(dict.fromkeys((r["method"], r["threshold_from"]) for r in results["recall"]))
    for colour, (method, origin) in zip(COLOURS, keys, strict=False):
        rows = [
            r for r in results["recall"] if (r["method"], r["threshold_from"]) == (method, origin)
        ]
        snr, recall, low, high = (
            np.array([r[name] for r in rows]) for name in ("snr", "recall", "low", "high")
        )
        axis.plot(snr, recall, "o-", ms=4, color=colour, label=f"{method}, threshold {origin}")
        if method == keys[0][0]:
            axis.fill_between(snr, low, high, color=colour, alpha=0.15, lw=0)
    axis.axhline(share, color="#7F7F7F", lw=0.8, ls="--")
    snrs = sorted({r["snr"] for r in results["recall"]})
    axis.set_xscale("log")
    axis.set_xticks(snrs, [f"{s:g}" for s in snrs])
    axis.minorticks_off()
    axis.set(xlabel="SNR of the added neurites", ylabel="share of length found", ylim=(0, 1.02))
    axis.legend(fontsize=8)
    return figure_png(figure)


def draw_false(results: Mapping[str, Any], rate: float) -> bytes:
    """Draw shares detected and falsely detected, and their ratio, over the model's threshold."""
    rows = results["thresholds"]
    at = [r["threshold"] for r in rows]
    figure = new_figure(width=9, height=3.8)
    left, right = figure.subplots(1, 2)
    for name, label, colour in (
        ("detected", "unchanged volume", COLOURS[6]),
        ("false_rate", "falsely detected", COLOURS[5]),
        ("shuffled", "shuffled", COLOURS[1]),
        ("beside_lines", "away from lines", COLOURS[2]),
        ("mirrored", "mirrored", COLOURS[4]),
    ):
        left.plot(at, np.maximum([r[name] for r in rows], 1e-6), color=colour, label=label)
    low, high = (np.maximum([r[n] for r in rows], 1e-6) for n in ("false_low", "false_high"))
    left.fill_between(at, low, high, color=COLOURS[5], alpha=0.15, lw=0)
    left.axhline(rate, color="#7F7F7F", lw=0.8, ls="--")
    left.set(xlabel="threshold", ylabel="share of voxels detected", yscale="log", ylim=(1e-5, 1))
    left.legend(fontsize=8)
    right.plot(at, [r["false_discovery"] for r in rows], color=COLOURS[5])
    right.set(xlabel="threshold", ylabel="false share of detected voxels", ylim=(0, 1.02))
    for axis in (left, right):
        for row in (
            r for r in results["methods"] if r["method"] == results["methods"][0]["method"]
        ):
            axis.axvline(row["threshold"], color=COLOURS[0], lw=0.8)
    return figure_png(figure)


def draw_map(trial: Trial, blocks: Sequence[Mapping[str, Any]], shape: Zyx) -> bytes:
    """Draw the blocks from above (x, y) and from the side (x, z), coloured by their limit."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    limits = np.array([b["limit"] for b in blocks], float)
    shown = np.isfinite(limits)
    low, high = (limits[shown].min(), limits[shown].max()) if shown.any() else (1, 2)
    scale, colours = Normalize(min(low, 1), max(high, low + 0.5)), colormaps["viridis_r"]
    figure = new_figure(width=9, height=4.2)
    for axis, (rows, name) in zip(figure.subplots(1, 2), ((1, "y"), (0, "z")), strict=True):
        for box, limit in zip(trial.sample.blocks, limits, strict=True):
            corner = (box.start[2], box.start[rows])
            size = (box.shape[2], box.shape[rows])
            colour = colours(scale(limit)) if np.isfinite(limit) else "#BBBBBB"
            axis.add_patch(Rectangle(corner, *size, fc=colour, ec="white", lw=0.8, alpha=0.85))
            middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
            if name == "y" and len(limits) <= 40:
                text = f"{limit:.1f}" if np.isfinite(limit) else "-"
                axis.text(*middle, text, ha="center", va="center", fontsize=8, color="white")
        axis.set(xlim=(0, shape[2]), ylim=(shape[rows], 0), xlabel="x", ylabel=name, aspect="equal")
    from matplotlib.cm import ScalarMappable

    figure.colorbar(ScalarMappable(scale, colours), ax=figure.axes, label="limit, SNR", shrink=0.8)
    return figure_png(figure)


def draw_example(pictured: Pictured) -> bytes:
    """Draw one block: images above, scores below, of each kind; maximum projections along z."""
    from PIL import Image, ImageDraw

    flat = {name: image.max(axis=0) for name, image in pictured.images.items()}
    rows, columns = next(iter(flat.values())).shape
    zoom = max(1, ZOOM_TO // max(rows, columns))
    base = flat["as it is"]
    low, high = float(np.quantile(base, 0.02)), float(np.quantile(base, 0.999))
    canvas = Image.new(
        "RGB",
        (GAP + len(flat) * (columns * zoom + GAP), 2 * (rows * zoom + HEAD) + GAP),
        (24, 24, 27),
    )
    pen = ImageDraw.Draw(canvas)
    for number, name in enumerate(flat):
        left = GAP + number * (columns * zoom + GAP)
        pen.text((left, 3), name, fill=(220, 220, 220))
        canvas.paste(_tile(flat[name], (low, high), zoom), (left, HEAD))
        score = pictured.scores[name].max(axis=0)
        canvas.paste(_tile(score, (0.0, 1.0), zoom), (left, 2 * HEAD + rows * zoom))
    return image_png(np.asarray(canvas))


def _tile(flat: NDArray[np.float32], span: tuple[float, float], zoom: int) -> Any:
    from PIL import Image

    low, high = span
    shown = np.clip((flat - low) / max(high - low, 1e-6), 0, 1)
    return Image.fromarray((shown * 255).astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1))
