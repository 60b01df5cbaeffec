"""Every verb at a real terminal and in a pipe: to its end, interrupted, with a failing block."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr

from neuroglow.phantom import phantom_pool
from running import run

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

TINY = "widths: [4, 8]\npatch: 16\nbatch: 2\nprecision: float32\nsteps: {}\ncheckpoint_every: 2\n"

VERBS = {
    "predict": "predict image.tif -o {}/p.tif",
    "train": "train pool/manifest.csv -o {}/run --config tiny.yaml",
    "survey": "survey pool -o {}/s.csv",
    "select": "select survey.csv -o {}/chosen.csv -n 2",
    "label": "label tree.swc --like image.tif -o {}/l.tif --swc-unit voxel",
    "trace": "trace prob.tif -o {}/t.swc",
    "evaluate": "evaluate prob.tif label.tif -o {}/report",
    "phantom cube": "phantom cube -o {}/cube --size 24",
    "phantom pool": "phantom pool -o {}/pool --size 24 --cubes 2",
    "phantom brain": "phantom brain -o {}/brain --size 32 --block 32",
    "models": "models list",
}
AT_TERMINAL = VERBS | {"testset": "testset -o {}/set --size 16"}
SLOW = {
    "predict": "predict wide.tif -o {}/p.tif --views 8",
    "train": "train pool/manifest.csv -o {}/run --config long.yaml",
    "phantom pool": "phantom pool -o {}/pool --size 48 --cubes 500",
}
FAILING = {
    "predict": ("predict damaged.zarr -o {}/p.ome.zarr", 1),
    "survey": ("survey broken -o {}/s.csv", 1),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with what all verbs read, small."""
    folder = tmp_path_factory.mktemp("terminal")
    rng = np.random.default_rng(1)
    image = rng.normal(200, 10, (32, 32, 32)).astype("uint16")
    label = np.zeros((32, 32, 32), np.uint8)
    label[16, 16, 3:28] = 1
    image[label == 1] += 150
    tifffile.imwrite(folder / "image.tif", image, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "wide.tif", np.tile(image, (3, 4, 4)), metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "prob.tif", label * np.uint8(200), metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "label.tif", label, metadata={"axes": "ZYX"})
    damaged = image.astype(np.float32)
    damaged[4, 4, 4] = np.nan
    tifffile.imwrite(folder / "damaged.tif", damaged, metadata={"axes": "ZYX"})
    stored = zarr.create_array(folder / "damaged.zarr", data=image, chunks=(32, 32, 32))
    assert stored.shape == image.shape
    (folder / "damaged.zarr/c/0/0/0").write_bytes(b"no chunk")
    (folder / "tree.swc").write_text("1 2 3 16 16 1 -1\n2 2 27 16 16 1 1\n")
    phantom_pool(folder / "pool", cubes=4, shape=(24, 24, 24))
    (folder / "broken").mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(folder / f"broken/{name}.tif", image, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "broken/c.tif", damaged, metadata={"axes": "ZYX"})
    (folder / "tiny.yaml").write_text(TINY.format(2))
    (folder / "long.yaml").write_text(TINY.format(100_000))
    command = [sys.executable, "-m", "neuroglow", "survey", "pool", "-o", "survey.csv"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def at_terminal(words, folder, *, press_at=None):
    """Run a command under a pseudo-terminal: (status, all that it showed).

    press_at: text at which Ctrl-C is typed.
    """
    child, screen = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm", COLUMNS="160", LINES="40")
        os.execv(sys.executable, [sys.executable, "-m", "neuroglow", *words])
    shown = ""
    while True:
        try:
            part = os.read(screen, 4096)
        except OSError:  # the child has closed it
            break
        if not part:
            break
        shown += part.decode(errors="replace")
        if press_at and press_at in shown:
            os.write(screen, b"\x03")
            press_at = None
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


@pytest.mark.parametrize("verb", AT_TERMINAL)
def test_a_verb_runs_to_its_end_at_a_terminal(inputs, tmp_path, verb):
    status, shown = at_terminal(AT_TERMINAL[verb].format(tmp_path).split(), inputs)
    assert status == 0, shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_runs_to_its_end_in_a_pipe(inputs, tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(inputs)
    status, said = run(capsys, *VERBS[verb].format(tmp_path).split())
    assert status == 0, said
    assert "Traceback" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("verb", SLOW)
def test_ctrl_c_at_a_terminal_is_answered_with_the_cure(inputs, tmp_path, verb):
    at = {"predict": "left", "train": "loss", "phantom pool": "left"}[verb]
    words = SLOW[verb].format(tmp_path).split()
    status, shown = at_terminal(words, inputs, press_at=at)
    # CPython ends by the signal itself where Ctrl-C came within exec or eval; a shell says 130
    assert status in (130, -signal.SIGINT), shown
    assert "Traceback" not in shown
    assert "--resume continues" in " ".join(shown.split()), shown


@pytest.mark.parametrize("verb", FAILING)
def test_a_failing_block_at_a_terminal_is_named(inputs, tmp_path, verb):
    words, expected = FAILING[verb]
    status, shown = at_terminal(words.format(tmp_path).split(), inputs)
    assert status == expected, shown
    assert "Traceback" not in shown
    assert "failed" in shown


def test_a_script_without_a_main_guard_is_told_so_in_three_lines(inputs, tmp_path):
    script = tmp_path / "analyse.py"
    call = f"neuroglow.predict({str(inputs / 'image.tif')!r}, out='o.tif', workers=2)"
    script.write_text(f"import neuroglow\n{call}\n")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == 1
    assert len(lines) == 3, done.stderr
    assert "__main__" in done.stderr
