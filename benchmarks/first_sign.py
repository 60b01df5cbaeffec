"""How long each command shows nothing: from its start to its first byte on a pseudo-terminal.

    python benchmarks/first_sign.py [--times 5] [--side 96] [VERB ...]

Each command is started several times and ended at its first byte, or with --left at the first
remaining time that it shows. Medians: seconds by the clock, and of this process's CPU, which other
work on the machine disturbs less; and the ratio of the former to `python -c pass`, measured in
turn with it. The inputs are small, since what counts is all that comes before them.
"""

from __future__ import annotations

import argparse
import os
import pty
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from neuroglow.phantom import phantom_pool
from neuroglow.survey import survey

VERBS = {
    "--version": "--version",
    "predict": "predict image.tif -o p.tif",
    "survey": "survey pool -o s.csv",
    "select": "select survey.csv -o chosen.csv -n 2",
    "label": "label tree.swc --like image.tif -o l.tif --swc-unit voxel",
    "train": "train pool/manifest.csv -o run",
    "train --adapt": "train image.tif --adapt -o adapted",
    "trace": "trace prob.tif -o t.swc",
    "evaluate": "evaluate prob.tif label.tif -o report",
    "sensitivity": "sensitivity image.tif -o sensitivity",
    "phantom cube": "phantom cube -o cube --size 48",
    "phantom pool": "phantom pool -o new --size 48 --cubes 20",
    "phantom brain": "phantom brain -o brain --size 96 --block 64",
    "testset": "testset -o set --size 32",
    "demo": "demo -o demo",
    "models list": "models list",
}

TICKS = os.sysconf("SC_CLK_TCK")


def make_inputs(folder: Path, side: int) -> None:
    """Write what the commands read."""
    rng = np.random.default_rng(1)
    label = np.zeros((side, side, side), np.uint8)
    label[side // 2, side // 2, 3:-3] = 1
    image = (rng.normal(200, 10, label.shape) + 60 * label).astype(np.uint16)
    for name, voxels in (("image", image), ("prob", label * np.uint8(200)), ("label", label)):
        tifffile.imwrite(folder / f"{name}.tif", voxels, metadata={"axes": "ZYX"})
    middle = side // 2
    rows = f"1 2 3 {middle} {middle} 1 -1\n2 2 {side - 4} {middle} {middle} 1 1\n"
    (folder / "tree.swc").write_text(rows)
    phantom_pool(folder / "pool", cubes=4, shape=(32, 32, 32))
    survey(folder / "pool", out=folder / "survey.csv")


def first_sign(words: list[str], text: str, inputs: Path) -> tuple[float, float]:
    """Start a command, and end it when it has shown the text: seconds, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as name:
        for path in inputs.iterdir():
            (Path(name) / path.name).symlink_to(path)
        began = time.perf_counter()
        child, screen = pty.fork()
        if child == 0:
            os.chdir(name)
            os.environ.update(TERM="xterm", COLUMNS="120", LINES="40")
            os.execv(sys.executable, [sys.executable, *words])
        shown = ""
        while not shown or text not in shown:
            try:
                shown += os.read(screen, 4096).decode(errors="replace")
            except OSError:  # it ended, and has shown all
                break
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(screen)
        return (seconds, cpu) if text in shown else (float("nan"), cpu)


def cpu_seconds(process: int) -> float:
    """Give the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verbs", nargs="*")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--left", action="store_true", help="to the first remaining time")
    asked = parser.parse_args()
    print(f"{'':16} {'s':>7} {'CPU s':>7} {'ratio':>7}   (python -c pass: 1)")
    with tempfile.TemporaryDirectory() as name:
        make_inputs(Path(name), asked.side)
        for verb in asked.verbs or VERBS:
            words = ["-m", "neuroglow", *VERBS[verb].split()]
            runs, ratios = [], []
            for _ in range(asked.times):
                python, _ = first_sign(["-c", "print()"], "", Path(name))
                runs.append(first_sign(words, " left" if asked.left else "", Path(name)))
                ratios.append(runs[-1][0] / python)
            seconds, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{verb:16} {seconds:7.2f} {cpu:7.2f} {statistics.median(ratios):7.1f}")


if __name__ == "__main__":
    main()
