"""What the documents say is true: code runs, commands exist, links resolve."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from conftest import ROOT

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


def run_blocks(text, folder):
    """Run python blocks, and `$ neuroglow` lines of console blocks, in order in one folder."""
    names = {"__name__": "__docs__"}
    for language, info, body in BLOCK.findall(text):
        if "no-test" in info:
            continue
        if language == "python":
            exec(compile(body, "document", "exec"), names)
        for line in body.splitlines() if language == "console" else ():
            if line.startswith("$ neuroglow"):
                command = [sys.executable, "-m", "neuroglow", *shlex.split(line)[2:]]
                subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(document.read_text(encoding="utf-8"), tmp_path)


def test_a_planted_failing_block_is_found(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run_blocks("```python\n1 / 0\n```\n", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        run_blocks("```console\n$ neuroglow predict missing.tif -o out.tif\n```\n", tmp_path)


def options_of(words):
    """Give the options of a command, or None where there is no such command."""
    from neuroglow.cli import app

    command = typer.main.get_command(app)
    for word in words:
        if not hasattr(command, "commands"):
            break
        command = command.commands.get(word)
        if command is None:
            return None
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_exist(document):
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^\$ (neuroglow .*)$|`(neuroglow [^`|\n]*)`", text, re.M)
    for line in ("".join(pair) for pair in found):
        words = shlex.split(line.split("#")[0])[1:]
        options = options_of([w for w in words if not w.startswith("-")][:2])
        assert options is not None, line
        for word in words:
            assert not word.startswith("-") or word.split("=")[0] in options, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_resolve(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_test_command_is_one():
    for document in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        assert "make test" in (ROOT / document).read_text(encoding="utf-8")
    assert "make demo" in Path(ROOT / "README.md").read_text(encoding="utf-8")
