"""How a public verb spells out its options, and still knows which of them were given.

    @spelled_out(TraceSettings)
    def trace(probability, *, out=None, threshold: float | None = None, smooth: float = 1.5, ...):
        chosen = check_settings(TraceSettings, given())

The signature shows every option with its type and default to people and editors. The settings
stay the truth: a value that was not given is theirs, and a test keeps the two equal. A value
that was given counts as given even where it equals the default, which matters where a training
run is resumed, or follows a recipe.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel

__all__ = ["given", "spelled_out"]

P = ParamSpec("P")
R = TypeVar("R")

_given: ContextVar[Mapping[str, Any]] = ContextVar("given")


def given() -> dict[str, Any]:
    """Give the settings that the caller of the running verb gave, by name.

    Names that the verb does not know are among them: its settings refuse these.
    """
    return dict(_given.get())


def spelled_out(settings: type[BaseModel]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a verb whose signature spells out its settings ask for those that were `given`."""

    def decorate(verb: Callable[P, R]) -> Callable[P, R]:
        known = inspect.signature(verb).parameters

        @wraps(verb)
        def call(*args: P.args, **options: P.kwargs) -> R:
            offered: dict[str, Any] = {k: v for k, v in options.items() if k in known}
            settled = {k: v for k, v in options.items() if k in settings.model_fields}
            unknown = {k: v for k, v in options.items() if k not in known}
            before = _given.set(settled | unknown)
            try:
                return verb(*args, **offered)
            finally:
                _given.reset(before)

        call.settings = settings  # type: ignore[attr-defined]  # for the test that compares them
        call.__doc__ = f"{verb.__doc__}\n    {_explained(settings)}"
        return call

    return decorate


def _explained(settings: type[BaseModel]) -> str:
    """Give what the settings' docstring says of each, without its first line."""
    return (settings.__doc__ or "").partition("\n\n")[2].strip()
