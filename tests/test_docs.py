"""What the documents say is true: code runs, commands exist, links resolve, set-up is done once."""

import contextlib
import dataclasses
import io
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

import slow
from conftest import ROOT
from neuroglow import demo
from running import main_status

FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)|<img[^>]*\ssrc=\"([^\"]+)\"", re.M)
SHELL = ("console", "bash")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT))
)


def read(path):
    return path.read_text(encoding="utf-8")


def shell_lines(body):
    """Give the lines of a shell block; one that ends in a backslash goes on in the next."""
    return body.replace("\\\n", " ").splitlines()


def run_blocks(text, name="document"):
    """Run python blocks, and `$ neuroglow` lines of shell blocks, in order in this folder."""
    names = {"__name__": "__docs__"}
    for block in FENCE.finditer(text):
        language, info, body = block.groups()
        if "no-test" in info:
            continue
        if language == "python":
            above = "\n" * text.count("\n", 0, block.start(3))  # a traceback names the line
            exec(compile(above + body, name, "exec"), names)
        for line in shell_lines(body) if language in SHELL else ():
            if line.startswith("$ neuroglow"):
                run_command(line)


def run_command(line):
    """Run the command line in this process and folder; fail with what it said."""
    words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main_status(words)
    assert status == 0, f"{line}\n{said.getvalue()}"


def wrong_commands(text):
    """Find the commands of shell blocks and of inline code that the command line does not have."""
    blocks = [body for language, _, body in FENCE.findall(text) if language in SHELL]
    lines = [line.removeprefix("$ ") for body in blocks for line in shell_lines(body)]
    lines += re.findall(r"`(neuroglow [^`]*)`", FENCE.sub("", text))
    return [line for line in lines if line.startswith("neuroglow ") and not exists(line)]


def exists(line):
    """Tell whether the command line has this command and its options."""
    from neuroglow.cli.commands import app

    words = shlex.split(line.split("|")[0], comments=True)[1:]
    command = typer.main.get_command(app)
    for word in words:
        if word.startswith("-") or not hasattr(command, "commands"):
            break
        command = command.commands.get(word)
        if command is None:
            return False
    options = {"--help", *(option for parameter in command.params for option in parameter.opts)}
    return all(word.split("=")[0] in options for word in words if word.startswith("-"))


def broken_links(document, root):
    """Find relative links and images that lead to nothing, or out of the repository."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", read(document)))
    targets = ("".join(groups).split("#")[0] for groups in LINK.findall(prose))
    paths = [(document.parent / t).resolve() for t in targets if t and ":" not in t]
    return [str(p) for p in paths if not (p.exists() and p.is_relative_to(root.resolve()))]


def commands(document):
    """Give the commands of a document's shell blocks, without their comments."""
    blocks = [body for language, _, body in FENCE.findall(read(document)) if language in SHELL]
    return {line.split("#")[0].strip() for body in blocks for line in shell_lines(body)}


@each_document
def test_code_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = dataclasses.replace(demo.SETTINGS, shape=(64, 96, 96), neurites=(6, 6))
    monkeypatch.setattr(demo, "SETTINGS", small)  # the whole one has a test of its own
    run_blocks(read(document), str(document))


@each_document
def test_commands_and_options_exist(document):
    assert wrong_commands(read(document)) == []


@each_document
def test_relative_links_resolve(document):
    assert broken_links(document, ROOT) == []


def test_a_planted_failing_block_is_found():
    with pytest.raises(ZeroDivisionError):
        run_blocks("```python\na = 0\n```\ntext\n```python\n1 / a\n```\n")
    for shell in SHELL:
        with pytest.raises(AssertionError, match=r"missing\.tif"):
            run_blocks(f"```{shell}\n$ neuroglow predict \\\n missing.tif -o a.tif\n```")


def test_a_block_marked_no_test_is_not_run():
    run_blocks("```python no-test\n1 / 0\n```\n```bash no-test\n$ neuroglow no\n```\n")


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ neuroglow predct a.tif\n```",
        "```bash no-test\nneuroglow predict a.tif \\\n  --nonsense\n```",
        "see `neuroglow models lst`",
        "see `neuroglow predict --nonsense=1`",
    ],
)
def test_a_planted_wrong_command_is_found(text):
    assert len(wrong_commands(text)) == 1


def test_right_commands_are_not_called_wrong():
    text = "`neuroglow --help`, `neuroglow models list | show`, `neuroglow predict a -o b --resume`"
    assert wrong_commands(text) == []


def test_planted_broken_links_are_found(tmp_path):
    root, document = tmp_path / "root", tmp_path / "root/a.md"
    root.mkdir()
    (tmp_path / "outside.md").touch()
    document.write_text(
        '[x](b.md) ![y](c.png "title") [z](../outside.md)\n\n[r]: d.md\n<img alt="" src="e.png">\n'
        "[fine](a.md#here) [fine](https://example.org/none) [fine](#here) `[fine](none.md)`\n"
    )
    found = [Path(path).name for path in broken_links(document, root)]
    assert sorted(found) == ["b.md", "c.png", "d.md", "e.png", "outside.md"]


def test_the_first_page_names_every_command_and_the_installation_every_extra():
    from neuroglow.cli.commands import app

    page, install = read(ROOT / "docs/index.md"), read(ROOT / "docs/start/install.md")
    commands = typer.main.get_command(app).commands
    assert [name for name in commands if f"`{name}`" not in page] == []
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    extras = set(project["optional-dependencies"]) - {"dev", "browser"}  # of our own tests
    assert {extra for extra in extras if f"\n| `{extra}` |" not in install} == set()


def test_the_test_command_is_one():
    last = read(ROOT / ".ci/run").splitlines()[-3:]
    run = [line.removeprefix("exec ").removesuffix(" </dev/null") for line in last]
    assert run == ["make test", "make test-studio", "make test-viewers"]
    for command in run:
        assert command in commands(ROOT / "README.md")
        assert command in commands(ROOT / "CONTRIBUTING.md")
        assert f"- run: {command}\n" in read(ROOT / ".github/workflows/test.yml")
    assert "make demo" in commands(ROOT / "README.md")


@pytest.fixture
def installed(tmp_path):
    """A checkout in which the set-up has been done, as far as make can tell."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    folder = tmp_path / "a checkout"
    (folder / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (1000, 1000))
    for name in ("torch", "demo", "test", "docs"):
        stamp = folder / f".venv/.installed-{name}"
        stamp.touch()
        os.utime(stamp, (2000, 2000))
    return folder


def make(folder, *words):
    """Run make there, as if from a shell of its own."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    own.pop("MFLAGS", None)
    return subprocess.run(
        ["make", *words], check=False, cwd=folder, env=own, capture_output=True, text=True
    )


@pytest.mark.parametrize("goal", ["demo", "test", "check", "docs"])
def test_set_up_is_done_once(installed, goal):
    assert "pip" not in make(installed, "--dry-run", goal).stdout
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(installed / name, (3000, 3000))
        assert "pip" in make(installed, "--dry-run", goal).stdout
        os.utime(installed / name, (1000, 1000))


def test_test_runs_all_checks_in_order(installed):
    plan = make(installed, "--dry-run", "test").stdout
    checks = ["ruff check", "ruff format --check", "mypy", "mkdocs build --strict", "pytest"]
    assert [plan.index(check) for check in checks] == sorted(plan.index(c) for c in checks)


def test_an_old_python_is_named(installed):
    old = installed / "old python"
    old.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.9.1' || exit 1\n")
    old.chmod(0o755)
    os.utime(installed / "constraints.txt", (3000, 3000))
    done = make(installed, "demo", f"PYTHON={old}")
    assert done.returncode != 0
    assert "3.11 or newer" in done.stderr
    assert "Python 3.9.1" in done.stderr


def test_the_slow_tests_exist():
    for file, names in slow.TESTS.items():
        text = read(ROOT / f"tests/{file}.py")
        assert [name for name in sorted(names) if f"def {name}(" not in text] == [], file
    assert [file for file in slow.FILES if not (ROOT / f"tests/{file}.py").exists()] == []
