"""Finish: an output that was made in shards -> published, when all of them are complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuroglow.blocks.ledger import read_entries
from neuroglow.convert import ConvertReport, convert
from neuroglow.errors import OutputError
from neuroglow.label import LabelReport, label
from neuroglow.predict import PredictReport, predict
from neuroglow.progress import Tell
from neuroglow.runs.shards import join_shards
from neuroglow.runs.unfinished import Unfinished
from neuroglow.survey import SurveyReport, survey
from neuroglow.trace import TraceReport, trace

__all__ = ["finish"]


Report = PredictReport | LabelReport | SurveyReport | TraceReport | ConvertReport

OF_ONE_SOURCE: Mapping[str, Callable[..., Report]] = {
    "survey": survey,
    "trace": trace,
    "convert": convert,
}


def finish(output: str | Path, *, on_progress: Tell | None = None) -> Report:
    """Publish an output that was made in shards: of predict, label, survey, trace, convert.

    output: as it was given to the shards, or its folder `.partial`. The input (and the model or
        the trees) are read again from where the shards read them.
    on_progress: called with the progress.

    Every file is compared with its receipt, and what was damaged is done again.
    Raises OutputError while a shard is missing, at work, of another run, or not complete.
    """
    path = Path(output)
    path = path.with_name(path.name.removesuffix(".partial"))
    unfinished = Unfinished(path)
    join_shards(unfinished)
    again = read_entries(unfinished.ledger)[0].get("about", {}).get("again")
    if not again:
        raise OutputError(
            "an output is finished from what its shards say of their run",
            found="a run that says nothing of it",
            where=str(unfinished.ledger),
            cure="the same command without --shard, with --resume",
        )
    how: dict[str, Any] = {"out": path, "mode": "resume", "on_progress": on_progress}
    if again["verb"] == "label":
        return label(again["trees"], again["source"], **how, **again["settings"])
    if again["verb"] in OF_ONE_SOURCE:
        return OF_ONE_SOURCE[again["verb"]](again["source"], **how, **again["settings"])
    reports = predict(again["source"], **how, **again["settings"])
    assert isinstance(reports, list)
    return reports[0]
