"""Optional logging for TensorBoard (extra `tensorboard`)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from neuroglow.errors import SettingsError

__all__ = ["Board", "NoBoard", "open_board", "require_board"]


class Board(Protocol):
    """Takes figures and pictures of a step."""

    def add_scalars_of(self, row: Mapping[str, Any]) -> None:
        """Show the figures of a line of the log."""

    def add_picture(self, name: str, png: bytes, step: int) -> None:
        """Show a picture of a step."""


class NoBoard:
    """Shows nothing."""

    def add_scalars_of(self, row: Mapping[str, Any]) -> None:
        """Show nothing."""

    def add_picture(self, name: str, png: bytes, step: int) -> None:
        """Show nothing."""


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add_scalars_of(self, row: Mapping[str, Any]) -> None:
        """Show the figures of a line of the log."""
        group = "validation" if "validation" in row else "training"
        for name, value in row.get("validation", row).items():
            if name != "step":
                self._writer.add_scalar(f"{group}/{name}", value, row["step"])
        if group == "validation":
            self._writer.flush()

    def add_picture(self, name: str, png: bytes, step: int) -> None:
        """Show a picture of a step."""
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        self._writer.add_image(name, pixels, step, dataformats="HWC")


def require_board() -> None:
    """Raise SettingsError if TensorBoard is requested but not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise SettingsError(
            "TensorBoard must be installed to write for it",
            found="no package tensorboard",
            where="--tensorboard",
            cure="install it with `pip install neuroglow[tensorboard]`; log.jsonl has the same",
        ) from None


def open_board(folder: Path) -> Board:
    """Open TensorBoard's event file in a folder."""
    require_board()
    from torch.utils.tensorboard import SummaryWriter

    return _TensorBoard(SummaryWriter(str(folder)))
