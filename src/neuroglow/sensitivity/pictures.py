"""The curves, the map and the example of a report of sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroglow.pictures.colours import glow, grey
from neuroglow.pictures.sheet import Panel, draw_sheet, image_png
from neuroglow.pictures.view import View
from neuroglow.recovery.trial import Pictured, Trial
from neuroglow.report import COLOURS, new_figure
from neuroglow.sensitivity.results import OWN
from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import VoxelSize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_example", "draw_false", "draw_map", "draw_recall", "threshold_words"]

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue."""

ZOOM_TO = 240
"""About how many pixels a panel of the example has."""


def threshold_words(origin: str, false: float) -> str:
    """Say in short how a threshold was chosen; false: the wanted share of false voxels."""
    return "own threshold" if origin == OWN else f"{100 * false:.3g} % false"


def draw_recall(results: Mapping[str, Any], share: float, false: float) -> Figure:
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
        axis.plot(
            snr,
            recall,
            "o-",
            ms=4,
            color=colour,
            label=f"{method}, {threshold_words(origin, false)}",
        )
        if method == keys[0][0]:
            axis.fill_between(snr, low, high, color=colour, alpha=0.15, lw=0)
    axis.axhline(share, color="#7F7F7F", lw=0.8, ls="--")
    snrs = sorted({r["snr"] for r in results["recall"]})
    axis.set_xscale("log")
    axis.set_xticks(snrs, [f"{s:g}" for s in snrs])
    axis.minorticks_off()
    axis.set(xlabel="SNR of the added neurites", ylabel="share of length found", ylim=(0, 1.02))
    axis.legend(fontsize=8)
    return figure


def draw_false(results: Mapping[str, Any], rate: float) -> Figure:
    """Draw, over the model's threshold, what is detected, what of it falsely, and the share."""
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
    return figure


def draw_map(trial: Trial, blocks: Sequence[Mapping[str, Any]], shape: Zyx) -> Figure:
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
                ink = "black" if np.dot(colours(scale(limit))[:3], LUMINANCE) > 0.45 else "white"
                axis.text(*middle, text, ha="center", va="center", fontsize=8, color=ink)
        axis.set(xlim=(0, shape[2]), ylim=(shape[rows], 0), aspect="equal")
        axis.set(xlabel="x, voxels", ylabel=f"{name}, voxels")
    from matplotlib.cm import ScalarMappable

    figure.colorbar(ScalarMappable(scale, colours), ax=figure.axes, label="limit, SNR", shrink=0.8)
    return figure


def draw_example(pictured: Pictured, size: VoxelSize | None) -> bytes:
    """Draw one block: images above, scores over them below, of each kind; maxima along z."""
    flat = {name: image.max(axis=0) for name, image in pictured.images.items()}
    low, high = (float(v) for v in np.quantile(flat["as it is"], [0.02, 0.999]))
    box = pictured.box.shape
    view = View.of((1, *box[1:]), size, side=ZOOM_TO)
    above, below = [], []
    for name, part in flat.items():
        plain = grey(part, low, max(high, low + 1e-6))
        overlay = glow(plain, pictured.scores[name].max(axis=0))
        above.append(Panel(view.enlarge(plain, 0), name, view.bar(0)))
        below.append(Panel(view.enlarge(overlay, 0), "probability", view.bar(0)))
    note = f"maxima of {box[0]} planes"
    return image_png(draw_sheet([above, below], note=note))
