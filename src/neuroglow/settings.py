"""Settings of a verb: frozen, flat, checked with a message that names the invalid one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from neuroglow.errors import SettingsError

__all__ = ["as_options", "check_settings"]

Settings = TypeVar("Settings", bound=BaseModel)


def check_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Check values that a person gave; raises SettingsError that names the first invalid one."""
    plain = {name: _plain(value) for name, value in values.items()}
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        unknown = first["type"] == "extra_forbidden"
        short = first["type"] == "missing" and len(first["loc"]) > 1
        reason = "too few values" if short else first["msg"]
        raise SettingsError(
            f"unknown setting {name!r}" if unknown else f"setting {name!r}: {reason}",
            found=repr(first["input"])[:200],
            cure=f"the settings are {', '.join(kind.model_fields)}" if unknown else "",
        ) from None


def as_options(settings: BaseModel) -> list[str]:
    """Write settings that are not the defaults as words of a command line."""
    words: list[str] = []
    for name, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        words.append(f"--{'no-' if value is False else ''}{name.replace('_', '-')}")
        if not isinstance(value, bool):
            listed = isinstance(value, list)
            words.append(",".join(f"{v:g}" for v in value) if listed else str(value))
    return words


def _plain(value: Any) -> Any:
    """Return paths, and objects that stand for one, as text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
