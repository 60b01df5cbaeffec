"""Hooks of the documentation's build: the command-line reference, made from the commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference of all commands where a page asks for it."""
    return markdown.replace(MARK, command_line()) if MARK in markdown else markdown


def command_line() -> str:
    """Write the reference of all commands: usage, help, arguments, options."""
    from neuroglow.cli.commands import app

    return "\n\n".join(_sections(typer.main.get_command(app), "neuroglow", None))


def _sections(command: Any, path: str, parent: Any) -> Iterator[str]:
    context = command.make_context(
        path.rsplit(maxsplit=1)[-1], [], parent=parent, resilient_parsing=True
    )
    if not hasattr(command, "commands"):
        yield _section(command, path, context)
        return
    for name in sorted(command.commands):
        yield from _sections(command.commands[name], f"{path} {name}", context)


def _section(command: Any, path: str, context: Any) -> str:
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    of_kind: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for parameter in command.params:
        if record := parameter.get_help_record(context):
            of_kind[parameter.param_type_name].append(record)
    parts = [f"## `{path}`", command.help or "", f"```text\n{usage}\n```"]
    parts += [_table(kind, rows) for kind, rows in of_kind.items() if rows]
    return "\n\n".join(parts)


def _table(kind: str, rows: list[tuple[str, str]]) -> str:
    body = "\n".join(f"| `{' '.join(name.split())}` | {_cell(text)} |" for name, text in rows)
    return f'<div class="options" markdown>\n\n| {kind} | |\n|---|---|\n{body}\n\n</div>'


def _cell(text: str) -> str:
    """Keep a text within its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
