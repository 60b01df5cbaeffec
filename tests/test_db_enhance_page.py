"""The comparison with DB-Enhance: each row that says `equal` names tests, and they exist."""

import ast
import re

import pytest

from conftest import ROOT

PAGE = ROOT / "docs/background/db-enhance.md"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def compared(text):
    """Give the rows of the comparison: (feature, verdict)."""
    section = text.split("## What is equal, and what is not", 1)[1].split("\n## ", 1)[0]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line[:1] == "|"]
    return [(row[0].strip(), row[3].strip()) for row in cells[2:]]


def unproven(text):
    """Name the rows that say `equal` without a test, or with one that is not there."""
    wrong = []
    for feature, verdict in compared(text):
        tests = NAMED.findall(verdict)
        if verdict.startswith("equal") and not tests:
            wrong.append(f"{feature}: no test")
        wrong += [
            f"{feature}: {file}::{name}" for file, name in tests if name not in named_in(file)
        ]
    return wrong


def named_in(file):
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_equal_row_names_tests_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    assert len(compared(text)) > 25
    assert sum(verdict.startswith("equal") for _, verdict in compared(text)) > 15
    assert unproven(text) == []


@pytest.mark.parametrize("verdict", ["equal", "equal: `test_rules.py::test_that_is_not`"])
def test_a_row_without_a_test_is_found(verdict):
    head = "## What is equal, and what is not\n\n| a | b | c | |\n|---|---|---|---|\n"
    assert len(unproven(f"{head}| tiling | its | ours | {verdict} |\n")) == 1
