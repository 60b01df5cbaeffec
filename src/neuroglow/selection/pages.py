"""The pages and pictures of survey and select: all cubes, chosen cubes, and cubes left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.manifest import Cube
from neuroglow.files.writing import appearing
from neuroglow.report import COLOURS, Page, figure_png
from neuroglow.selection.beside import page_of, picture_of, title_of
from neuroglow.selection.cube_pictures import draw_cubes
from neuroglow.selection.examples import MEANINGS, pick_examples
from neuroglow.selection.survey_table import FREE, LABELLED, numbers
from neuroglow.selection.words import DEFINITIONS, WORDS
from neuroglow.space.geometry import parse_box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["selection_page", "survey_page"]

Flags = NDArray[np.bool_]
ManyAxes = NDArray[np.object_]

SHOWN = 30
"""Maximum number of cubes on the contact sheet."""

CHOSEN, OTHER = COLOURS[5], "#999999"

MANY = 1000
"""Dots from which on a chart holds them as one picture: the page stays small."""


def survey_page(cubes: Sequence[Cube], out: Path, *, failed: int, network: str = "") -> Path:
    """Write the page of a survey next to its table: an overview, cubes of each kind, places.

    network: the model that found the neurites, and what it ran on; empty without one.
    """
    page = Page(title_of("Survey", out), DEFINITIONS).verdict(_verdict(cubes, failed))
    page.paragraph("Indicators do not use labels unless marked so.")
    if network:
        page.paragraph(f"Neurites, entropy and disagreement are by the model {network}.")
    _add_examples(page, cubes)
    nothing = np.zeros(len(cubes), bool)
    page.heading("Indicators").table(_summary(cubes, nothing), "over all cubes")
    page.chart(_distributions(cubes, nothing), "A bar: the share of the cubes.", title="Indicators")
    page.chart(_space(cubes, nothing, FREE[:3]), "A dot per cube.", title="The indicator space")
    _add_map(page, cubes, nothing)
    noted = Counter(cube.other.get("note", "") for cube in cubes if cube.other.get("note"))
    if noted:
        rows = [{"note": note, "cubes": count} for note, count in sorted(noted.items())]
        page.heading("Cubes with special indicators").table(rows)
    return page.write(page_of(out))


def _verdict(cubes: Sequence[Cube], failed: int) -> str:
    """Say in a few sentences what the pool is like."""
    state = f"; {failed} could not be read and are missing" if failed else ""
    density, noise, low_snr = (numbers(cubes, name) for name in FREE[:3])
    empty = int((density == 0).sum())
    said = f"{len(cubes)} cubes{state}. The middle one has {_median(density):.2%} of its voxels in "
    said += f"neurites, {_median(low_snr):.0%} of them faint, and a noise of {_median(noise):.3g}"
    return f"{said} grey levels. {f'{empty} cubes hold no neurite.' if empty else ''}".rstrip()


def _add_examples(page: Page, cubes: Sequence[Cube]) -> None:
    """Show cubes of each kind, with their numbers."""
    page.heading("Cubes to look at")
    shown = [name for name in FREE if name in _known(cubes)]
    for kind, rows in pick_examples(cubes):
        some = [cubes[i] for i in rows]
        png = draw_cubes(some, [cube.name for cube in some], across=4)
        if png is not None:
            caption = "Maximum along z, each in its own grey range."
            page.picture(png, caption, title=f"{kind.capitalize()} cubes: {MEANINGS[kind]}")
        table = [
            {"indicator": WORDS[name]}
            | {cube.name: float(numbers([cube], name)[0]) for cube in some}
            for name in shown
        ]
        page.table(table)


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
    picture = picture_of(out)
    with appearing(picture) as partial:
        partial.write_bytes(space)
    page = Page(title_of("Selection", out), DEFINITIONS)
    minutes = sum(float(cube.other["minutes"]) for cube in chosen)
    page.verdict(
        f"{len(chosen)} of {len(cubes)} cubes, chosen by the rule {rule}: about {minutes:.0f} "
        "minutes of annotation."
    )
    page.heading("The chosen cubes")
    sheet = _contact_sheet(chosen)
    if sheet is not None:
        page.picture(sheet, _sheet_caption(chosen), title="Chosen cubes")
    page.chart(
        _space(cubes, mask, looked_at),
        "Chosen cubes in colour, the others grey.",
        title="The indicator space",
    )
    page.chart(
        _distributions(cubes, mask),
        "Before (grey: all cubes) and after (colour: chosen cubes).",
        title="Each indicator",
    )
    _add_map(page, cubes, mask)
    page.table([_row(cube) for cube in _ranked(chosen)], "All chosen cubes, by rank")
    _add_left_out(page, cubes, mask, left_out, rule)
    return page.write(page_of(out)), picture


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
    dots: dict[str, Any] = {"linewidths": 0, "rasterized": len(x) > MANY}
    axis.scatter(x[~mask], y[~mask], s=22, color=OTHER, label="not chosen", **dots)
    axis.scatter(x[mask], y[mask], s=26, color=CHOSEN, label="chosen", **dots)


def _contact_sheet(chosen: Sequence[Cube]) -> bytes | None:
    """Draw the first cubes' maximum projections along z, with rank and split."""
    shown = _ranked(chosen)[:SHOWN]
    titles = [f"{cube.other['rank']} {cube.split} {cube.name}" for cube in shown]
    return draw_cubes(shown, titles, across=5)


def _sheet_caption(chosen: Sequence[Cube]) -> str:
    more = f"; the first {SHOWN} of {len(chosen)}" if len(chosen) > SHOWN else ""
    reasons = "Reasons are in the table below."
    return f"Maximum along z, each scaled to its own range: rank, split, name{more}. {reasons}"


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
    caption = "Darker squares have more signal"
    caption += "; chosen cubes are outlined" if mask.any() else ""
    page.chart(_map(cubes, mask), caption, title="Where the cubes lie")


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
