"""The page of a run of adapting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuroglow.report import COLOURS, Page, new_figure

__all__ = ["adapt_page"]

MEANING = (
    "The volume was cut into blocks; neurites at known places were added to some, and the model "
    "was trained on these, on the same blocks shuffled, and on phantoms. Other neurites were "
    "added to blocks that it never saw, and each row gives their recall, where nothing "
    "was detected before, at the false rate of the original model. The best "
    "row was chosen on these same blocks, so its gain is slightly overestimated."
)


DEFINITIONS = {
    "threshold": "the model's own",
    "false rate": "share of voxels detected falsely, at which the recall is measured",
    "detected": "share of the voxels of the unchanged blocks, at the model's own threshold",
    "phantoms": "average precision on phantoms",
    "cost": "decrease of the average precision on phantoms",
    "gain": "in recall, a mean over SNR up to 4",
    "gain, 95 %": "95 % interval of the gain, over neurites",
}


def adapt_page(
    name: str, rows: Sequence[Mapping[str, Any]], said: str, record: Mapping[str, Any]
) -> Page:
    """Make the page: the gain, each trial, settings, command."""
    page = Page(f"{name}: adapted to {record['adapted_to']}", DEFINITIONS)
    page.verdict(said).paragraph(MEANING)
    page.chart(
        _curves(rows),
        "On blocks held out, by SNR; and average precision on phantoms.",
        title="Recall of the added neurites",
    )
    shown = [_shown(row) for row in rows]
    snr = [name for name in shown[0] if name.startswith("SNR")]
    page.table([{k: row[k] for k in ("step", *snr)} for row in shown], "recall, by SNR")
    rest = [{k: v for k, v in row.items() if k not in snr} for row in shown]
    page.table(rest, "each trial; a dotted name says what it means")
    page.paragraph(f"It took {record['minutes']:.1f} minutes.")
    return page.settings(str(record["command"]), record["adapt"])


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Name the numbers of a trial as a person would."""
    shown = {k.replace("snr_", "SNR ").replace("_", " "): v for k, v in row.items()}
    low, high = shown.pop("gain low"), shown.pop("gain high")
    return shown | {"gain, 95 %": f"{low:+.3f} to {high:+.3f}"}


def _curves(rows: Sequence[Mapping[str, Any]]) -> Any:
    figure = new_figure(width=8, height=3.6)
    axis = figure.subplots()
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
