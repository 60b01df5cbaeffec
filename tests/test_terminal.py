"""Every verb at a real terminal and in a pipe: to its end, interrupted, with a failing block.

Most run in this process, at a pseudo-terminal or into a pipe that knows ASCII alone; where the
terminal's own Ctrl-C matters, in a process of their own.
"""

import io
import re
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import zarr
from rich.console import Console

from neuroglow import survey, watching
from neuroglow.cli.stopping import as_command
from neuroglow.network.voxresnet import VoxResNet
from neuroglow.phantom import phantom_pool
from neuroglow.progress import Progress
from running import main_status, run

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

from terminals import SEQUENCE, at_terminal, own_terminal

TINY = "widths: [4, 8]\npatch: 16\nbatch: 2\nprecision: float32\nsteps: {}\ncheckpoint_every: 2\n"
ADAPT = "steps: 4\ncheckpoint_every: 2\nbatch: 1\npatch: 16\nblocks: 1\nheld_out: 1\nblock: 32\n"

VERBS = {
    "predict": "predict image.tif -o {}/p.tif --model small",
    "train": "train pool/manifest.csv -o {}/run --config tiny.yaml",
    "train --from": "train pool/manifest.csv -o {}/run --config from.yaml --from small",
    "train --adapt": "train image.tif --adapt -o {}/adapted --config adapt.yaml --from small",
    "survey": "survey pool -o {}/s.csv",
    "label": "label tree.swc --like wide.tif -o {}/l.tif --swc-unit voxel --block 64",
    "trace": "trace prob.tif -o {}/t.swc --block 32",
    "evaluate": "evaluate prob.tif label.tif -o {}/report --raw wide.tif --block 32",
    "sensitivity": "sensitivity image.tif -o {}/s --model small --block 32 --blocks 1 --rounds 1 --no-filters",
    "phantom pool": "phantom pool -o {}/pool --size 24 --cubes 3",
    "phantom brain": "phantom brain -o {}/brain --size 48 --block 32",
}
"""The long ones: they tell how far they have come."""

SHORT = {
    "select": "select survey.csv -o {}/chosen.csv -n 2",
    "phantom cube": "phantom cube -o {}/cube --size 24",
    "models list": "models list",
    "models import": "models import a.ckpt -o {}/imported",
}
TESTSET = {"testset": "testset -o {}/set --size 16"}

FAILING = {
    "predict": "predict damaged.zarr -o {}/p.ome.zarr --model small",
    "train --adapt": "train damaged.zarr --adapt -o {}/adapted --config adapt.yaml",
    "survey": "survey broken -o {}/s.csv",
    "trace": "trace damaged.zarr -o {}/t.swc",
    "evaluate": "evaluate damaged.zarr label.tif -o {}/report",
    "sensitivity": "sensitivity damaged.zarr -o {}/s --model small --block 32 --blocks 1",
}

AT_WORK = {
    "predict": ("left", "predict large.tif -o {}/p.tif --views 8 --no-gate"),
    "train": ("loss", "train pool/manifest.csv -o {}/run --config long.yaml"),
    "phantom pool": ("left", "phantom pool -o {}/pool --size 48 --cubes 500 --workers 2"),
}
"""Text at which Ctrl-C is typed, and the command."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with what all verbs read, small."""
    folder = tmp_path_factory.mktemp("terminal")
    rng = np.random.default_rng(1)
    image = rng.normal(200, 10, (32, 32, 64)).astype("uint16")
    label = np.zeros(image.shape, np.uint8)
    label[16, 16, 3:60] = 1
    image[label == 1] += 150
    volumes = {"image": image, "prob": np.tile(label * np.uint8(200), (2, 2, 2))}
    volumes |= {"wide": np.tile(image, (2, 2, 2)), "label": np.tile(label, (2, 2, 2))}
    volumes["large"] = np.tile(image, (4, 4, 4))
    for name, voxels in volumes.items():
        tifffile.imwrite(folder / f"{name}.tif", voxels, metadata={"axes": "ZYX"})
    stored = zarr.create_array(folder / "damaged.zarr", data=volumes["wide"], chunks=(64, 64, 64))
    assert stored.shape == volumes["wide"].shape
    (folder / "damaged.zarr/c/0/0/0").write_bytes(b"no chunk")
    (folder / "tree.swc").write_text("1 2 3 16 16 1 -1\n2 2 120 16 16 1 1\n")
    phantom_pool(folder / "pool", cubes=4, shape=(24, 24, 24))
    survey(folder / "pool", out=folder / "survey.csv")
    phantom_pool(folder / "broken", cubes=3, shape=(24, 24, 24))
    damaged = sorted((folder / "broken/image").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:3000])
    (folder / "tiny.yaml").write_text(TINY.format(4))
    (folder / "from.yaml").write_text("patch: 16\nbatch: 2\nsteps: 4\ncheckpoint_every: 2\n")
    (folder / "long.yaml").write_text(TINY.format(100_000))
    (folder / "adapt.yaml").write_text(ADAPT)
    state = {f"module.{name}": value for name, value in VoxResNet().state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state, "optimizer": {}}, folder / "a.ckpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main_status(["train", "pool", "-o", "small", "--config", "tiny.yaml"]) == 0
    return folder


@pytest.fixture
def there(inputs, monkeypatch):
    """The folder of all inputs, in which the test runs."""
    monkeypatch.chdir(inputs)
    return inputs


@pytest.fixture
def a_minute_each(monkeypatch):
    """Let a minute pass whenever the time is asked for."""
    minutes = iter(range(0, 10**9, 61))
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: next(minutes)))


@pytest.fixture
def stop_at(monkeypatch):
    """Make what presses Ctrl-C when so much has been told."""

    def plant(count):
        left = [count]

        def take(seen, progress, real=watching._Seen.take):
            real(seen, progress)
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(watching._Seen, "take", take)

    return plant


@pytest.mark.parametrize("verb", VERBS | SHORT | TESTSET)
def test_a_verb_runs_to_its_end_at_a_terminal(there, tmp_path, monkeypatch, verb):
    with own_terminal(monkeypatch) as screen:
        status = main_status((VERBS | SHORT | TESTSET)[verb].format(tmp_path).split())
    assert status == 0, screen.shown
    screen.check_whole()


@pytest.mark.parametrize("verb", VERBS | SHORT)
def test_a_pipe_that_knows_ascii_alone_gets_lines_with_the_remaining_time(
    there, tmp_path, monkeypatch, a_minute_each, verb
):
    said = io.BytesIO()
    for name in ("stdout", "stderr"):
        pipe = io.TextIOWrapper(said, encoding="ascii", write_through=True)
        monkeypatch.setattr(sys, name, pipe)
    (tmp_path / "größe_µm").mkdir()
    words = (VERBS | SHORT)[verb].format(tmp_path / "größe_µm").split()
    status = main_status(words)
    text = said.getvalue().decode("utf-8")  # click writes UTF-8 to a stream of ASCII alone
    assert status == 0, text
    assert not {"\x1b", "\r"} & set(text)
    assert "Traceback" not in text
    if verb in VERBS:
        line = r"\d[\d.]*/\d[\d.]* [\w%]+, \d+:\d\d:\d\d left, [\d.]+ (\w+/s|s/\w+)"
        assert re.search(line, text), text


REFUSED = {
    "train": "train broken/manifest.csv -o {}/run --config tiny.yaml",  # its hash tells
    "models import": "models import tree.swc -o {}/m",
    "select": "select tree.swc -o {}/s",
}


@pytest.mark.parametrize("verb", FAILING | REFUSED)
def test_what_fails_at_a_terminal_is_named(there, tmp_path, monkeypatch, verb):
    with own_terminal(monkeypatch) as screen:
        status = main_status((FAILING | REFUSED)[verb].format(tmp_path).split())
    assert status == (2 if verb in REFUSED else 1), screen.shown
    screen.check_whole()
    assert "found:" in screen.words


@pytest.mark.parametrize("verb", VERBS | SHORT | TESTSET)
def test_ctrl_c_at_the_first_sign_of_life_is_answered(inputs, tmp_path, verb):
    if verb == "models list":
        pytest.skip("it is over at its first sign")
    words = (VERBS | SHORT | TESTSET)[verb].format(tmp_path).split()
    first = re.compile("opening|making|reading")
    status, screen = at_terminal(["-m", "neuroglow", *words], inputs, press_at=first)
    screen.check_whole()
    assert status == 130, screen.shown
    assert "neuroglow: " in screen.words
    assert "stopped" in screen.words


def test_ctrl_c_while_the_bar_is_closed_gives_the_cursor_back_first(monkeypatch):
    """Pressed just before the cursor is shown again, it left the terminal without one."""
    shown = Console.show_cursor

    def show(console, visible=True):
        if visible:
            signal.raise_signal(signal.SIGINT)
        return shown(console, visible)

    with own_terminal(monkeypatch) as screen, pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(Console, "show_cursor", show)
        with watching.watched("working"):
            pass
    screen.check_whole()
    assert "\x1b[?25l" in screen.shown


SWALLOWS = """
import signal
try:
    for _ in range({}):
        signal.raise_signal(signal.SIGINT)
except:
    pass
"""
IMPORTS = """
import sys, time
from neuroglow.cli.stopping import Interrupted, heeding_ctrl_c
with heeding_ctrl_c():
    try:
        import swallows
        time.sleep(30)
    except Interrupted:
        print("raised", "swallows" in sys.modules)
"""


@pytest.mark.parametrize(("times", "shown"), [(1, "raised True\n"), (2, "")])
def test_an_import_cannot_swallow_the_first_ctrl_c(tmp_path, times, shown):
    (tmp_path / "swallows.py").write_text(SWALLOWS.format(times))
    code = IMPORTS.replace("30", "30" if times == 1 else "0.1")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert (done.stdout, done.stderr) == (shown, "")


@pytest.mark.parametrize("verb", AT_WORK)
def test_ctrl_c_at_work_is_answered_with_a_command(inputs, tmp_path, verb):
    text, words = AT_WORK[verb]
    words = ["-m", "neuroglow", *words.format(tmp_path).split()]
    status, screen = at_terminal(words, inputs, press_at=re.compile(text))
    assert status == 130, screen.shown
    screen.check_whole()
    assert "command: python -m neuroglow" in screen.words


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_said_after_ctrl_c_goes_on(there, tmp_path, capsys, stop_at, verb):
    words = VERBS[verb].format(tmp_path).split()
    stop_at(3)
    status, said = run(capsys, *words)
    assert status == 130, said
    assert "Traceback" not in said
    command = re.search(r"(?:command|cure): neuroglow (.*)", said)
    assert command or "the same command begins again" in said
    again = shlex.split(command[1]) if command else words
    status, said = run(capsys, *again)
    assert status == 0, said


def test_a_resumed_run_that_is_stopped_goes_on(there, tmp_path, capsys, stop_at):
    words = VERBS["train"].format(tmp_path).split()
    stop_at(8)
    assert run(capsys, *words)[0] == 130
    stop_at(2)
    status, said = run(capsys, *words, "--resume")
    assert (status, "no step is kept" in said) == (130, False), said
    again = re.search(r"command: neuroglow (.*)", said)[1]
    assert again.count("--resume") == 1
    assert run(capsys, *shlex.split(again))[0] == 0
    assert run(capsys, *words)[0] == 2, "a run is never replaced"


def test_a_command_that_goes_on_neither_restarts_nor_resumes_twice():
    words = ["/usr/bin/neuroglow", "predict", "my image.tif", "-o", "p.tif"]
    command = "neuroglow predict 'my image.tif' -o p.tif --resume"
    for more in ([], ["--restart"], ["--resume"]):
        assert as_command([*words, *more]) == command


HEAVY = """
import os, sys
import neuroglow.cli.commands
from neuroglow.cli import main

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "torch"):
            os.write(2, b"<heavy>")
            os._exit(0)

for words in sys.stdin.read().splitlines():
    if os.fork() == 0:
        sys.meta_path.insert(0, Watch())
        sys.argv = ["neuroglow", *words.split()]
        os.write(2, b"\\n")
        main()
    os.wait()
"""


def test_the_first_sign_comes_before_what_takes_time(inputs, tmp_path):
    commands = [words.format(tmp_path) for words in (VERBS | SHORT | TESTSET).values()]
    commands = [words for words in commands if not words.startswith("models list")]
    done = subprocess.run(
        [sys.executable, "-c", HEAVY],
        input="\n".join([*commands, "demo"]),
        capture_output=True,
        text=True,
        check=True,
        cwd=inputs,
    )
    shown = [line for line in done.stderr.splitlines() if "<heavy>" in line]
    said = re.findall(r"(?:opening|making|reading) \S+[^<]*\n<heavy>", done.stderr)
    assert len(shown) == len(said) == len(commands) + 1, done.stderr


def test_a_log_says_a_line_a_minute_whatever_is_told():
    from rich.console import Console

    now, file = [0.0], io.StringIO()
    screen = Console(file=file, width=40)
    with watching.watched("opening a.tif", console=screen, clock=lambda: now[0]) as tell:
        for second in range(1, 181):
            now[0] = float(second)
            tell(Progress("a.tif", second * 1e5, 1e8))
    lines = file.getvalue().splitlines()
    assert [line[:5] for line in lines] == ["openi", "a.tif", "a.tif", "a.tif"]
    assert lines[1] == "a.tif: 6.0/100.0 Mvoxel, 0:15:40 left, 100.0 kvoxel/s"


def test_a_slow_rate_in_a_large_volume_is_still_a_number():
    from rich.console import Console

    now, file = [0.0], io.StringIO()
    with watching.watched("brain", console=Console(file=file), clock=lambda: now[0]) as tell:
        for second in (1, 61):
            now[0] = float(second)
            tell(Progress("brain", second * 2e3, 1e13))
    assert file.getvalue().splitlines()[-1].endswith("left, 2.0 kvoxel/s")


def test_a_log_goes_on_where_nothing_is_told():
    from rich.console import Console

    file, said = io.StringIO(), None
    with watching.watched("opening", console=Console(file=file), every_s=0.01):
        for _ in range(1000):
            said = re.search(r"opening \(at work for 0:00:\d\d\)", file.getvalue())
            if said:
                break
            watching.time.sleep(0.01)
    assert said


DRAWS = """
import sys, time
from neuroglow.progress import Progress
from neuroglow.watching import watched
with watched("opening a_long_name_of_an_image_that_does_not_fit.ome.zarr") as tell:
    for done in range({}):
        tell(Progress("a_long_name_of_an_image_that_does_not_fit.ome.zarr", done, 40, "blocks"))
        time.sleep(0.1)
"""


@pytest.mark.parametrize(
    "environment", [{"COLUMNS": "40"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONUTF8": "0"}]
)
def test_narrow_plain_dumb_and_ascii_terminals(inputs, environment):
    ascii_alone = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    more = environment | (ascii_alone if "PYTHONUTF8" in environment else {})
    status, screen = at_terminal(["-c", DRAWS.format(6)], inputs, **more)
    assert status == 0, screen.shown
    screen.check_whole()
    if "COLUMNS" in environment:
        frames = SEQUENCE.sub("\n", screen.shown).splitlines()
        assert max(map(len, frames)) <= 40
        assert "/40 blocks" in screen.shown
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*(3|4|9)[0-7]m", screen.shown)
    if "TERM" in environment:
        assert "\x1b" not in screen.shown
    if "PYTHONUTF8" in environment:
        assert screen.shown.isascii()
        assert "\\u" not in screen.shown


def test_a_script_without_a_main_guard_is_told_so_in_three_lines(inputs, tmp_path):
    script = tmp_path / "analyse.py"
    calls = {
        "predict": f"{str(inputs / 'image.tif')!r}, out='o.tif', device='cpu,cpu'",
        "survey": f"{str(inputs / 'pool')!r}, out='s.csv'",
        "phantom_pool": "'pool', cubes=2, shape=(24, 24, 24)",
        "phantom_brain": "'brain', shape=(24, 24, 24)",
    }
    lines = ["import sys, neuroglow"]
    for verb, arguments in calls.items():
        lines += ["try:", f"    neuroglow.{verb}({arguments}, workers=2)"]
        lines += ["except SystemExit as said:", "    print(said, file=sys.stderr)"]
    script.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    said = [line for line in done.stderr.splitlines() if line]
    assert len(said) == 3 * len(calls), done.stderr
    assert done.stderr.count("not under `if __name__ ==") == len(calls)
