"""The page of a run of adapting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroglow.report import COLOURS, Page, new_figure
from neuroglow.train.judge import DEAREST, FAINT
from neuroglow.train.phantoms import TISSUES

__all__ = ["adapt_page", "adapt_sentence"]

Row = Mapping[str, Any]

MEANING = (
    "The volume was cut into blocks; neurites at known places were added to some, and the model "
    "was trained on these, on the same blocks shuffled, and on phantoms, also of other tissues. "
    "Other neurites were added to blocks that it never saw. Each row gives their recall, where "
    "nothing was detected before, at the one threshold at which neither in these blocks nor in "
    "phantoms of nuclei, plaques, microglia and grain more is falsely detected than by the "
    "original model, and at least at its threshold. A model is kept only if its gain is above "
    "chance. The best row was chosen on these same blocks, so its gain is slightly overestimated; "
    "real tissue of other kinds was not tried."
)


DEFINITIONS = {
    "share": "of the trained weights; the rest are the original ones",
    "threshold": "calibrated on phantoms alone; in the saved model it is the original threshold",
    "false rate": "share of voxels detected falsely in the blocks held out",
    "detected": "share of the voxels of the unchanged blocks",
    **{f"false {tissue}": f"share detected in phantoms of {tissue}" for tissue in TISSUES},
    "phantoms": "average precision on phantoms",
    "cost": "decrease of the average precision on phantoms",
    "gain": f"in recall, a mean over SNR up to {FAINT:g}",
    "gain, 95 %": "95 % interval of the gain, over neurites",
}


def adapt_sentence(rows: Sequence[Row], best: int) -> str:
    """Summarise what is gained and what it costs; best: the number of the row kept, or 0."""
    row = rows[best] if best else max(rows[1:] or rows, key=lambda row: float(row["gain"]))
    begin = f"Kept: {_name(row)}." if best else _why_none(row)
    before = rows[0]
    pairs = [(n, before[n], row[n]) for n in row if n.startswith("snr_")]
    told = ", ".join(f"SNR {n[4:]}: {a:.2f} to {b:.2f}" for n, a, b in pairs if np.isfinite(b))
    false = ", ".join(
        f"{name} {before[key]:.4f} to {row[key]:.4f}"
        for name, key in (("here", "false_rate"), *((k, f"false_{k}") for k in TISSUES))
        if key in row
    )
    return (
        f"{begin} Recall of neurites added to blocks held out: {told}; gain for faint ones "
        f"{row['gain']:+.3f} ({row['gain_low']:+.3f} to {row['gain_high']:+.3f}). Falsely "
        f"detected: {false}. Average precision on phantoms: {before['phantoms']:.3f} to "
        f"{row['phantoms']:.3f}."
    )


def _name(row: Row) -> str:
    """Name a model that was judged."""
    mean = "" if row["share"] == 1 else ", averaged with the original one"
    return f"the model after {row['step']} steps{mean}"


def _why_none(row: Row) -> str:
    """Say why the best of the models that were tried is not kept."""
    begin = f"The original model stays, and no best model is written: {_name(row)}"
    if row["gain"] <= 0:
        return f"{begin}, finds no more where no more is falsely detected."
    if row["gain_low"] <= 0:
        return f"{begin}, finds more, but that may be chance."
    return f"{begin}, finds more, but costs over {DEAREST:g} of average precision on phantoms."


def adapt_page(name: str, rows: Sequence[Row], said: str, record: Mapping[str, Any]) -> Page:
    """Make the page: the gain, each trial, settings, command."""
    page = Page(f"{name}: adapted to {record['adapted_to']}", DEFINITIONS)
    page.verdict(said).paragraph(MEANING)
    page.chart(
        _curves(rows),
        "On blocks held out, by SNR; and average precision on phantoms. Of the trained weights.",
        title="Recall of the added neurites",
    )
    shown = [_shown(row) for row in rows]
    snr = [name for name in shown[0] if name.startswith("SNR")]
    page.table([{k: row[k] for k in ("step", "share", *snr)} for row in shown], "recall, by SNR")
    rest = [{k: v for k, v in row.items() if k not in snr} for row in shown]
    page.table(rest, "each trial; a dotted name says what it means")
    page.paragraph(f"It took {record['minutes']:.1f} minutes.")
    return page.settings(str(record["command"]), record["adapt"])


def _shown(row: Row) -> dict[str, Any]:
    """Name the numbers of a trial as a person would."""
    shown = {k.replace("snr_", "SNR ").replace("_", " "): v for k, v in row.items()}
    low, high = shown.pop("gain low"), shown.pop("gain high")
    return shown | {"gain, 95 %": f"{low:+.3f} to {high:+.3f}"}


def _curves(rows: Sequence[Row]) -> Any:
    figure = new_figure(width=8, height=3.6)
    axis = figure.subplots()
    rows = [row for row in rows if row["share"] == 1]
    steps = [row["step"] for row in rows]
    names = [name for name in rows[0] if name.startswith("snr_")]
    for colour, name in zip(COLOURS, names, strict=False):
        axis.plot(
            steps, [float(row[name]) for row in rows], "o-", color=colour, label=f"SNR {name[4:]}"
        )
    axis.plot(
        steps, [row["phantoms"] for row in rows], "--", color="#7F7F7F", lw=1, label="phantoms, AP"
    )
    axis.set(xlabel="step", ylabel="recall (dashed: average precision)", ylim=(0, 1.02))
    axis.legend(fontsize=8)
    return figure
