"""Everything that can go wrong, as a tree.

NeuroglowError
├── UsageError            exit status 2: the request is invalid; nothing was done
│   ├── InputError        no readable volume: missing, not an image, wrong axes
│   ├── OutputError       the output exists, belongs to another run, or is of unknown kind
│   ├── ModelError        no such model, or a file that is not a usable one
│   └── SettingsError     a value or a key that is not allowed
├── RunError              exit status 1: the work began and could not be finished
│   ├── ReadError         bytes of the input cannot be decoded
│   ├── WriteError        the output cannot be written: full, read-only, no permission
│   └── BlocksFailedError some blocks failed; the others are complete
└── StoppedError          exit status 130: the user stopped it; it can be resumed

Every message states the rule, the actual state, the place, and the cure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "BlocksFailedError",
    "InputError",
    "ModelError",
    "NeuroglowError",
    "OutputError",
    "ReadError",
    "RunError",
    "SettingsError",
    "StoppedError",
    "UsageError",
    "WriteError",
    "first_of",
    "without_secrets",
]


class NeuroglowError(Exception):
    """Base of all errors that neuroglow raises on purpose.

    rule: the condition that must hold, as a sentence without its full stop.
    found: the actual state.
    where: the file, block or option.
    cure: how the user can solve it.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, rule: str, *, found: str = "", where: str = "", cure: str = "") -> None:
        super().__init__(rule)
        self.rule, self.found, self.where, self.cure = map(
            without_secrets, (rule, found, where, cure)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the transfer from a worker process."""
        return _rebuild, (type(self), self.rule, self.found, self.where, self.cure)

    def __str__(self) -> str:
        parts = [self.rule]
        parts += [f"found: {self.found}"] if self.found else []
        parts += [f"where: {self.where}"] if self.where else []
        parts += [f"cure: {self.cure}"] if self.cure else []
        return "\n  ".join(parts)


def without_secrets(text: str) -> str:
    """Take user, password and query (where tokens are) out of the addresses in a text."""
    if "://" not in text:
        return text
    bare = re.sub(r"(\w://)[^/@\s]*@", r"\1", text)
    return re.sub(r"(\w://[^\s?'\"]*)\?[^\s'\",)]*", r"\1", bare)


def first_of(reasons: Sequence[str], *, rest: str = "") -> str:
    """List ten reasons below each other, with continuation lines indented; count the others.

    rest: where the others are listed.
    """
    shown = ["\n    " + reason.replace("\n", "\n    ") for reason in reasons[:10]]
    more = len(reasons) - len(shown)
    return "".join(shown) + (f"\n    ... and {more} more{rest}" if more else "")


def _rebuild(
    kind: type[NeuroglowError], rule: str, found: str, where: str, cure: str
) -> NeuroglowError:
    return kind(rule, found=found, where=where, cure=cure)


class UsageError(NeuroglowError):
    """The request is invalid; nothing was done."""

    exit_status = 2


class InputError(UsageError):
    """There is no readable volume at the given path."""


class OutputError(UsageError):
    """The output exists, belongs to another run, or is of no known kind."""


class ModelError(UsageError):
    """There is no such model, or the file is not a usable one."""


class SettingsError(UsageError):
    """A setting has a value or a key that is not allowed."""


class RunError(NeuroglowError):
    """The work began and could not be finished."""


class ReadError(RunError):
    """Bytes of the input cannot be decoded."""


class WriteError(RunError):
    """The output cannot be written."""


class BlocksFailedError(RunError):
    """Some blocks failed; the others are complete."""


class StoppedError(NeuroglowError):
    """The user stopped the work; it can be resumed."""

    exit_status = 130
