"""Settings of a verb: frozen, flat, checked with a message that names the invalid one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from neuroglow.errors import SettingsError

__all__ = ["check_settings"]

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


def _plain(value: Any) -> Any:
    """Return paths, and objects that stand for one, as text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
