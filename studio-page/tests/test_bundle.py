"""The committed bundle is what the sources give, and fetches nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[1]
BUNDLE = PAGE.parent / "src/neuroglow/studio/page"


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_committed_bundle_is_built_from_the_sources(tmp_path):
    subprocess.run(["npx", "tsc", "--noEmit"], cwd=PAGE, check=True)
    build = [
        "npx",
        "vite",
        "build",
        "--logLevel",
        "error",
        "--emptyOutDir",
        "--outDir",
        tmp_path / "page",
    ]
    subprocess.run(build, cwd=PAGE, check=True)
    built, committed = contents(tmp_path / "page"), contents(BUNDLE)
    assert built.keys() == committed.keys()
    assert [name for name in built if built[name] != committed[name]] == [], (
        "make studio, and commit"
    )


def test_the_bundle_is_small():
    assert sum(map(len, contents(BUNDLE).values())) < 1_200_000


def test_the_page_names_no_other_place():
    markup = (BUNDLE / "index.html").read_text()
    assert re.findall(r"https?://", markup) == []
