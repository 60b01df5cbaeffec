"""Detect scripts that start worker processes from their top level, which workers would repeat."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FrameType

__all__ = ["refuse_unguarded_main"]

MESSAGE = """\
neuroglow: worker processes start by reading this script, so its calls must lie under a guard
  found: {script}, line {line}, which is not under `if __name__ == "__main__":`
  cure: put the call, or code that leads to it, under `if __name__ == "__main__":`; or workers=1"""

FROM_STDIN = """\
neuroglow: worker processes start by reading the script, so it must be a file
  found: a script from standard input
  cure: save it as a file, with its calls under `if __name__ == "__main__":`; or workers=1"""


def refuse_unguarded_main() -> None:
    """End a script that calls from its top level: SystemExit with three lines, no traceback.

    Otherwise Python would run the script again in each worker, with a page of tracebacks for each;
    a script from standard input it would look for in vain.
    """
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", "")
    file = getattr(main, "__file__", None)
    if file == "<stdin>":
        raise SystemExit(FROM_STDIN)
    frame = _top_level(sys._getframe(), vars(main) if main else {})
    if file is None or frame is None or name.endswith("__main__"):
        return
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):  # not a script that a worker could read
        return
    if not _is_guarded(tree, frame.f_lineno):
        raise SystemExit(MESSAGE.format(script=Path(file).name, line=frame.f_lineno))


def _top_level(frame: FrameType | None, names: dict[str, object]) -> FrameType | None:
    """Find the current line of the script at its top level."""
    while frame is not None:
        if frame.f_globals is names and frame.f_code.co_name == "<module>":
            return frame
        frame = frame.f_back
    return None


def _is_guarded(tree: ast.Module, line: int) -> bool:
    """Return whether a line is inside a top-level `if` on __name__."""
    return any(
        isinstance(part, ast.If)
        and "__name__" in ast.unparse(part.test)
        and part.lineno <= line <= (part.end_lineno or line)
        for part in tree.body
    )
