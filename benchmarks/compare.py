"""Two checkouts compared: a suite of whole commands, alternately on each, and the ratios.

    python benchmarks/compare.py REV [--with REV] [--repeats 3] [--only predict] [--volume FILE.tif]

REV is checked out into a temporary folder (`git worktree`), and removed at the end. It is compared
with the working tree, or with another revision (`--with`). Both run with this Python and its
packages, so REV must be able to. Each command is a process of its own, start included; the system
counts its CPU seconds (user + system, children included) and its peak memory (of the largest
process). Wall time is not compared: it depends on what else runs. The order within a pair changes
from pair to pair. Ratios are those of the working tree to REV, within pairs: below 1 is better.
The commands work on one phantom (synthetic, seeded), or on --volume.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Case:
    """A command of the suite; {at} is an empty folder."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What one run took: CPU seconds and peak megabytes."""

    cpu: float
    memory: float


SUITE = (
    Case("start", ("--help",)),
    Case(
        "predict",
        ("predict", "{image}", "-o", "{at}/p.ome.zarr"),
    ),
    Case(
        "predict, 2 workers",
        ("predict", "{image}", "-o", "{at}/w.tif", "--workers", "2"),
    ),
    Case(
        "survey",
        ("survey", "{image}", "-o", "{at}/s.csv", "--cube", "64"),
    ),
    Case(
        "survey with a model",
        ("survey", "{image}", "-o", "{at}/m.csv", "--model", "light-microscopy"),
    ),
    Case(
        "trace",
        ("trace", "{prob}", "-o", "{at}/t.swc"),
    ),
    Case(
        "evaluate",
        ("evaluate", "{prob}", "{label}", "-o", "{at}/e.html"),
    ),
    Case(
        "evaluate, trees",
        ("evaluate", "{prob}", "{tree}", "-o", "{at}/f.html"),
    ),
    Case(
        "phantom brain",
        ("phantom", "brain", "-o", "{at}/b.ome.zarr", "--size", "128"),
    ),
    Case(
        "train",
        ("train", "{pool}", "-o", "{at}/r", "--steps", "6", "--val-fraction", "0"),
    ),
)


def run(tree: Path, case: Case, files: dict[str, str]) -> Cost | str:
    """Run a command with the package of one checkout; return why it failed, if it did."""
    at = Path(files["at"])
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    words = [sys.executable, "-m", "neuroglow", *(word.format(**files) for word in case.words)]
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": str(tree / "src")}
    with (at / "said.txt").open("w", encoding="utf-8") as said:
        child = subprocess.Popen(words, env=environment, cwd=at, stdout=said, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if status:
        return (at / "said.txt").read_text(encoding="utf-8").strip()[-300:]
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / unit)


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Check a revision out into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="neuroglow-compare-") as name:
        tree = Path(name) / "tree"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            compile_files(tree)
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def compile_files(tree: Path) -> None:
    """Compile the Python files of a checkout, so that no run that is counted does."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tree / "src")], check=True)


def prepare(at: Path, size: int, volume: Path | None) -> dict[str, str]:
    """Make the inputs of the suite, once, with the package of the working tree."""
    environment = os.environ | {"PYTHONPATH": str(HERE / "src")}
    command = [sys.executable, "-m", "neuroglow"]
    cube = at / "cube"
    made = ["phantom", "cube", "-o", str(cube), "--size", str(size), "--seed", "1"]
    subprocess.run([*command, *made], check=True, env=environment, stdout=subprocess.DEVNULL)
    pool = at / "pool"
    for kind in ("image", "label"):
        (pool / kind).mkdir(parents=True)
        shutil.copy(cube / f"{kind}.tif", pool / kind / "c.tif")
    image = volume.resolve() if volume else cube / "image.tif"
    predicted = at / "prob.tif"
    given = [*command, "predict", str(cube / "image.tif"), "-o", str(predicted)]
    subprocess.run(given, check=True, env=environment, stdout=subprocess.DEVNULL)
    known = {"image": image, "label": cube / "label.tif", "tree": cube / "tree.swc", "pool": pool}
    return {k: str(v) for k, v in (known | {"prob": predicted, "at": at / "made"}).items()}


def compare(before: Path, now: Path, case: Case, files: dict[str, str], repeats: int) -> str:
    """Run one command alternately; return a row of the table."""
    pairs: list[tuple[Cost, Cost]] = []
    for number in range(repeats):
        order = (before, now) if number % 2 == 0 else (now, before)
        costs = {tree: run(tree, case, files) for tree in order}
        for tree, cost in costs.items():
            if isinstance(cost, str):
                return f"| {case.name} | failed in {'REV' if tree == before else 'now'}: {cost} |"
        pairs.append((costs[before], costs[now]))  # type: ignore[arg-type]  # no texts are left
    cells = [
        f"{_middle(b.cpu for b, _ in pairs):.1f}",
        f"{_middle(n.cpu for _, n in pairs):.1f}",
        _ratios([n.cpu / b.cpu for b, n in pairs]),
        f"{_middle(b.memory for b, _ in pairs):.0f}",
        f"{_middle(n.memory for _, n in pairs):.0f}",
        _ratios([n.memory / b.memory for b, n in pairs]),
    ]
    return f"| {case.name} | {' | '.join(cells)} |"


def _middle(values: Iterator[float]) -> float:
    return statistics.median(values)


def _ratios(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", metavar="REV")
    parser.add_argument("--with", dest="other", metavar="REV", help="instead of the working tree")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=128, help="voxels per axis of the phantom")
    parser.add_argument("--only", nargs="*", default=[], help="commands by the start of their name")
    parser.add_argument("--volume", type=Path, help="predict and survey this one instead")
    asked = parser.parse_args()
    chosen = [c for c in SUITE if not asked.only or c.name.startswith(tuple(asked.only))]
    with tempfile.TemporaryDirectory() as name, checked_out(asked.revision) as before:
        files = prepare(Path(name), asked.size, asked.volume)
        print(
            "| command | CPU-s before | now | ratio (spread) | MB before | now | ratio (spread) |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        if asked.other is None:
            compile_files(HERE)
            for case in chosen:
                print(compare(before, HERE, case, files, asked.repeats), flush=True)
            return
        with checked_out(asked.other) as now:
            for case in chosen:
                print(compare(before, now, case, files, asked.repeats), flush=True)


if __name__ == "__main__":
    main()
