"""The command that a page gives to repeat its run: each word is one that the command line knows."""

import pytest
import typer

from neuroglow.cli.commands import app
from neuroglow.evaluate.settings import EvaluateSettings
from neuroglow.sensitivity.settings import SensitivitySettings
from neuroglow.settings import as_options
from neuroglow.trace.settings import TraceSettings

CASES = {
    "trace --invert": (TraceSettings(invert=True), ["--invert"]),
    "trace --no-invert": (TraceSettings(invert=False), ["--no-invert"]),
    "trace": (
        TraceSettings(voxel_size=(2, 0.5, 0.5), unit="voxel", low=0.25),
        ["--low", "0.25", "--unit", "voxel", "--voxel-size", "2,0.5,0.5"],
    ),
    "evaluate": (EvaluateSettings(trace=True, swc_unit="nm"), ["--swc-unit", "nm", "--trace"]),
    "sensitivity": (
        SensitivitySettings(filters=False, blocks=2),
        ["--blocks", "2", "--no-filters"],
    ),
    "sensitivity, defaults": (SensitivitySettings(), []),
}


@pytest.mark.parametrize("case", CASES)
def test_settings_become_options_that_their_command_has(case):
    settings, expected = CASES[case]
    words = as_options(settings)
    pairs = " ".join(words).split(" --")
    assert sorted(pair.removeprefix("--") for pair in pairs) == sorted(
        pair.removeprefix("--") for pair in " ".join(expected).split(" --")
    )
    command = typer.main.get_command(app).commands[case.split(" ")[0].rstrip(",")]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known
