"""The pages and pictures of survey and select: all cubes, chosen cubes, and cubes left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.export import read_cube
from neuroglow.cubes.manifest import Cube
from neuroglow.errors import NeuroglowError
from neuroglow.report import COLOURS, Page, figure_png
from neuroglow.selection.survey_table import FREE, LABELLED, numbers
from neuroglow.space.geometry import Box, parse_box
from neuroglow.space.projections import block_projections
from neuroglow.space.writing import appearing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["selection_page", "survey_page"]

Flags = NDArray[np.bool_]
ManyAxes = NDArray[np.object_]

SHOWN = 30
"""Maximum number of cubes on the contact sheet."""

CHOSEN, OTHER = COLOURS[5], "#BBBBBB"

WORDS = {
    "signal_density": "signal density (labels)",
    "noise_variance": "noise, grey levels (labels)",
    "low_snr_ratio": "low-SNR ratio (labels)",
    "units_signal_density": "share of voxels labelled",
    "units_low_snr_ratio": "low-SNR ratio (labels, noise units)",
    "free_signal_density": "signal density",
    "free_noise": "noise, grey levels",
    "free_low_snr_ratio": "low-SNR ratio",
    "unevenness": "unevenness of background, noise",
    "texture": "texture: correlation of neighbours",
    "length_vox": "neurite length, voxels",
    "tortuosity": "tortuosity",
    "crossings": "crossings per 1000 voxels",
    "puncta": "puncta per Mvoxel",
    "entropy": "entropy, bits per voxel",
    "disagreement": "disagreement under flips",
}


def survey_page(cubes: Sequence[Cube], out: Path, *, failed: int) -> Path:
    """Write the page of a survey next to its table: the distribution of indicators, and places."""
    page = Page(f"Survey: {out.name}")
    state = f"; {failed} could not be read and are missing" if failed else ""
    page.paragraph(f"{len(cubes)} cubes{state}. Indicators do not use labels unless marked so.")
    nothing = np.zeros(len(cubes), bool)
    page.table(_summary(cubes, nothing), "Indicators over all cubes")
    page.picture(figure_png(_distributions(cubes, nothing)), "Distribution of each indicator")
    page.picture(
        figure_png(_space(cubes, nothing, FREE[:3])), "The indicator space: a dot per cube"
    )
    _add_map(page, cubes, nothing)
    noted = Counter(cube.other.get("note", "") for cube in cubes if cube.other.get("note"))
    if noted:
        rows = [{"note": note, "cubes": count} for note, count in sorted(noted.items())]
        page.table(rows, "Cubes with special indicators")
    return page.write(out.with_suffix(".html"))


def selection_page(
    cubes: Sequence[Cube],
    chosen: Sequence[Cube],
    left_out: Mapping[str, str],
    out: Path,
    rule: str,
    *,
    looked_at: Sequence[str],
) -> tuple[Path, Path]:
    """Write the page and the picture of a selection next to its manifest; return both paths.

    looked_at: the columns of density, noise and low-SNR ratio that the rule used.
    """
    names = {cube.name for cube in chosen}
    mask = np.array([cube.name in names for cube in cubes])
    space = figure_png(_space(cubes, mask, looked_at))
    picture = out.with_suffix(".png")
    with appearing(picture) as partial:
        partial.write_bytes(space)
    page = Page(f"Selection: {out.name}")
    page.paragraph(f"{len(chosen)} of {len(cubes)} cubes, chosen by the rule {rule}.")
    page.picture(space, "The indicator space: chosen cubes in colour, the others grey")
    page.picture(
        figure_png(_distributions(cubes, mask)),
        "Each indicator before (grey: all cubes) and after (colour: chosen cubes)",
    )
    page.heading("The chosen cubes")
    sheet = _contact_sheet(chosen)
    if sheet is not None:
        page.picture(figure_png(sheet), _sheet_caption(chosen))
    _add_map(page, cubes, mask)
    page.table([_row(cube) for cube in _ranked(chosen)], "All chosen cubes, by rank")
    _add_left_out(page, cubes, mask, left_out, rule)
    return page.write(out.with_suffix(".html")), picture


def _add_left_out(
    page: Page, cubes: Sequence[Cube], mask: Flags, left_out: Mapping[str, str], rule: str
) -> None:
    page.heading("Cubes left out")
    reasons = Counter(left_out.values())
    reasons[f"the rule {rule} preferred others"] = len(cubes) - int(mask.sum()) - len(left_out)
    page.table([{"reason": why, "cubes": n} for why, n in sorted(reasons.items())])
    page.table(_summary(cubes, mask), "Medians: what kind of cubes the rule leaves out")
    for column in ("region", "brain"):
        values = np.array([cube.other.get(column, "") for cube in cubes])
        if len(set(values)) > 1:
            rows = [
                {
                    column: value,
                    "cubes": int((values == value).sum()),
                    "chosen": int((mask & (values == value)).sum()),
                }
                for value in sorted(set(values))
            ]
            page.table(rows, f"By {column}")


def _known(cubes: Sequence[Cube]) -> dict[str, NDArray[np.float64]]:
    """Return the indicators that at least one cube has."""
    columns = {name: numbers(cubes, name) for name in (*LABELLED, *FREE, "entropy", "disagreement")}
    return {name: values for name, values in columns.items() if np.isfinite(values).any()}


def _summary(cubes: Sequence[Cube], mask: Flags) -> list[dict[str, Any]]:
    rows = []
    for name, values in _known(cubes).items():
        row: dict[str, Any] = {"indicator": WORDS[name]}
        if mask.any():
            row["chosen, median"] = _median(values[mask])
            row["others, median"] = _median(values[~mask])
        else:
            low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
            row |= {"5 %": float(low), "median": float(middle), "95 %": float(high)}
        rows.append(row)
    return rows


def _grid(
    rows: int, columns: int, *, width: float, height: float, left: float = 0.2
) -> tuple[Figure, ManyAxes]:
    """Lay out axes, inches a piece (left: for their labels); constrained layouts take seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows))
    below, above = 0.55 / (height * rows), 0.3 / (height * rows)
    figure.subplots_adjust(
        left=left / (width * columns),
        bottom=below,
        right=0.98,
        top=1 - above,
        wspace=max(0.12, left / (width - left)),
        hspace=0.45,
    )
    return figure, np.ravel(figure.subplots(rows, columns, squeeze=False))


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _distributions(cubes: Sequence[Cube], mask: Flags) -> Figure:
    """Draw a histogram per indicator: the share of all cubes, and of the chosen ones, per bar."""
    known = _known(cubes)
    rows = -(-len(known) // 4)
    figure, axes = _grid(max(rows, 1), 4, width=2.75, height=2.1)
    for axis, (name, values) in zip(axes, known.items(), strict=False):
        finite = np.isfinite(values)
        edges = _edges(values[finite])
        if _is_of_many_cameras(name, values):
            edges = np.geomspace(edges[0], edges[-1], len(edges))
            axis.set_xscale("log")
        else:
            axis.locator_params("x", nbins=4)
        axis.stairs(_shares(values[finite], edges), edges, fill=True, color=OTHER)
        if (mask & finite).any():
            axis.stairs(_shares(values[mask & finite], edges), edges, color=CHOSEN, lw=1.5)
        axis.set_title(WORDS[name], fontsize=8)
        axis.tick_params(labelsize=7)
        axis.set_yticks([])
    for axis in axes[len(known) :]:
        axis.set_axis_off()
    return figure


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide the range of values into 25 bars; a constant value is in the middle one."""
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, 26) if low < high else np.linspace(low - 0.5, low + 0.5, 26)


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the values in each bar."""
    return np.asarray(np.histogram(values, edges)[0] / values.size)


def _space(cubes: Sequence[Cube], mask: Flags, three: Sequence[str]) -> Figure:
    """Draw density, noise and low-SNR ratio against each other."""
    density, noise, low_snr = three
    figure, axes = _grid(1, 3, width=3.7, height=3.6, left=0.75)
    for axis, (x, y) in zip(
        axes, ((density, low_snr), (density, noise), (low_snr, noise)), strict=True
    ):
        _scatter(axis, numbers(cubes, x), numbers(cubes, y), mask)
        axis.set_xlabel(WORDS[x])
        axis.set_ylabel(WORDS[y])
        if _is_of_many_cameras(y, numbers(cubes, y)):
            axis.set_yscale("log")
    if mask.any():
        axes[0].legend(fontsize=8, loc="best")
    return figure


def _is_of_many_cameras(name: str, values: NDArray[np.float64]) -> bool:
    """Return whether these are noise values that differ by an order of magnitude."""
    known = values[~np.isnan(values)]
    if name not in ("noise_variance", "free_noise") or not known.size:
        return False
    return bool(0 < 10 * known.min() < known.max())


def _scatter(axis: Axes, x: NDArray[np.float64], y: NDArray[np.float64], mask: Flags) -> None:
    axis.scatter(x[~mask], y[~mask], s=9, color=OTHER, label="not chosen", linewidths=0)
    axis.scatter(x[mask], y[mask], s=14, color=CHOSEN, label="chosen", linewidths=0)


def _contact_sheet(chosen: Sequence[Cube]) -> Figure | None:
    """Draw the first cubes' maximum projections along z, with rank and split."""
    shown = [(cube, _projection(cube)) for cube in _ranked(chosen)[:SHOWN]]
    if all(image is None for _, image in shown):
        return None
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = _grid(rows, columns, width=2.3, height=3.2)
    for axis, (cube, image) in zip(axes, shown, strict=False):
        if image is not None:
            low, high = np.quantile(image, [0.02, 0.998])
            axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1))
        title = f"{cube.other['rank']}  {cube.split}  {_short(cube.name, 22)}"
        axis.set_title(title, fontsize=7)
        axis.set_xlabel(_wrapped(cube.other["reason"]), fontsize=6.5)
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return figure


def _projection(cube: Cube) -> NDArray[Any] | None:
    """Project a cube along z; None if it cannot be read (only the table was moved)."""
    try:
        voxels = read_cube(cube)[0]
        return block_projections(voxels, Box.of(voxels.shape), 1)["z"]
    except NeuroglowError:
        return None


def _sheet_caption(chosen: Sequence[Cube]) -> str:
    more = f"; the first {SHOWN} of {len(chosen)}" if len(chosen) > SHOWN else ""
    return f"Chosen cubes, maximum along z, each scaled to its own range: rank, split, reason{more}"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else "…" + text[1 - length :]


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 42)[:5])


def _ranked(chosen: Sequence[Cube]) -> list[Cube]:
    return sorted(chosen, key=lambda cube: int(cube.other["rank"]))


def _row(cube: Cube) -> dict[str, Any]:
    other = cube.other
    return {
        "cube": cube.name,
        "rank": other["rank"],
        "split": cube.split,
        "minutes": other["minutes"],
        "reason": other["reason"],
    }


def _add_map(page: Page, cubes: Sequence[Cube], mask: Flags) -> None:
    """Show the positions of cubes in their volume, if all are boxes of one volume."""
    if len({cube.image for cube in cubes}) != 1 or not all(cube.box for cube in cubes):
        return
    caption = "Where the cubes lie: darker squares have more signal"
    caption += "; chosen cubes are outlined" if mask.any() else ""
    page.picture(figure_png(_map(cubes, mask)), caption)


def _map(cubes: Sequence[Cube], mask: Flags) -> Figure:
    from matplotlib.patches import Rectangle

    far = (2**31, 2**31, 2**31)
    boxes = [parse_box(cube.box, far) for cube in cubes]
    density = np.nan_to_num(numbers(cubes, "free_signal_density"))
    least, most = float(density.min()), float(density.max())
    shade = 0.08 + 0.72 * (density - least) / max(most - least, 1e-9)
    figure, axes = _grid(1, 3, width=3.7, height=3.6, left=0.75)
    for axis, (down, right) in zip(axes, ((1, 2), (0, 2), (0, 1)), strict=True):
        order = np.lexsort((density, mask))  # the densest, then the chosen, on top
        for i in order:
            (y, x), (h, w) = ([t[down], t[right]] for t in (boxes[i].start, boxes[i].shape))
            face = str(1 - shade[i])
            edge, width = (CHOSEN, 1.2) if mask[i] else ("none", 0)
            axis.add_patch(Rectangle((x, y), w, h, facecolor=face, edgecolor=edge, lw=width))
        axis.set_xlim(min(b.start[right] for b in boxes), max(b.stop[right] for b in boxes))
        axis.set_ylim(max(b.stop[down] for b in boxes), min(b.start[down] for b in boxes))
        axis.set_aspect("equal")
        axis.set_xlabel(f"{'zyx'[right]}, voxels")
        axis.set_ylabel(f"{'zyx'[down]}, voxels")
    return figure
