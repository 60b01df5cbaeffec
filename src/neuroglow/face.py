"""How a public verb spells out its options, and still knows which of them were given.

    @spelled_out(TraceSettings)
    def trace(probability, *, out=None, threshold: float | None = None, smooth: float = 1.5, ...):
        chosen = check_settings(TraceSettings, given())

The signature shows every option with its type and default to people and editors. Values that
were not given come from the settings, and a test checks that the defaults agree. A value
that was given counts as given even if it equals the default, which matters when a training
run is resumed, or uses a recipe.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel

from neuroglow.files.remarks import forget_remarks

__all__ = ["given", "spelled_out"]

P = ParamSpec("P")
R = TypeVar("R")

_given: ContextVar[Mapping[str, Any]] = ContextVar("given")


def given() -> dict[str, Any]:
    """Return the settings that the caller of the running verb gave, by name.

    They include names that the verb does not know, which its settings then refuse.
    """
    return dict(_given.get())


def spelled_out(settings: type[BaseModel]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a verb whose signature spells out its settings ask which were `given`."""

    def decorate(verb: Callable[P, R]) -> Callable[P, R]:
        known = inspect.signature(verb).parameters

        @wraps(verb)
        def call(*args: P.args, **options: P.kwargs) -> R:
            offered: dict[str, Any] = {k: v for k, v in options.items() if k in known}
            settled = {k: v for k, v in options.items() if k in settings.model_fields}
            unknown = {k: v for k, v in options.items() if k not in known}
            if _given.get(None) is None:  # no verb is at work: a run of its own begins
                forget_remarks()
            before = _given.set(settled | unknown)
            try:
                with _shown(offered, verb.__name__) if "on_progress" in known else nullcontext():
                    return verb(*args, **offered)
            finally:
                _given.reset(before)

        call.settings = settings  # type: ignore[attr-defined]  # for the test that compares them
        call.__doc__ = f"{verb.__doc__}\n    {_explained(settings)}"
        return call

    return decorate


@contextmanager
def _shown(offered: dict[str, Any], name: str) -> Iterator[None]:
    """Show progress if requested, or if a person is watching and on_progress is not given."""
    asked = offered.get("progress")
    if offered.get("on_progress") or asked is False or not (asked or _is_seen()):
        yield
        return
    from rich.console import Console

    from neuroglow.watching import watched

    # in a notebook rich needs ipywidgets; without it, print lines
    lines = _in_notebook() and find_spec("ipywidgets") is None
    console = Console(stderr=True, force_jupyter=False) if lines else None
    with watched(name, console=console) as tell:
        offered["on_progress"] = tell
        yield


def _is_seen() -> bool:
    """Return whether a person sees the output: on a terminal, or in a notebook."""
    return (sys.stderr is not None and sys.stderr.isatty()) or _in_notebook()


def _in_notebook() -> bool:
    """Return whether a kernel runs this; that other packages have imported one says nothing."""
    python = sys.modules.get("IPython")
    return getattr(python and python.get_ipython(), "kernel", None) is not None


def _explained(settings: type[BaseModel]) -> str:
    """Return the description of each setting from the docstrings, inherited ones included."""
    kinds = [
        kind for kind in settings.__mro__ if issubclass(kind, BaseModel) and kind is not BaseModel
    ]
    parts = [(kind.__doc__ or "").partition("\n\n")[2].strip() for kind in kinds]
    return "\n    ".join(filter(None, parts))
