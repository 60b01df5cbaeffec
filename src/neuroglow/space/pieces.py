"""Pieces of a file that are decoded whole: a chunk, a strip. One must fit into memory."""

from __future__ import annotations

from neuroglow.errors import SettingsError
from neuroglow.space.volume import Volume

__all__ = ["check_pieces", "together"]

COPIES = 2
"""A piece is held twice while it is decoded: compressed or in the file's order, and as read."""


AT_ONCE = 64_000_000
"""Bytes of pieces that are decoded at once, unless a single one is larger."""


def together(piece_bytes: int, most: int) -> int:
    """Return how many pieces of this size are decoded at once."""
    return max(1, min(most, AT_ONCE // max(1, piece_bytes)))


def check_pieces(volume: Volume, room: int) -> None:
    """Refuse a volume of which one piece needs more memory than a worker has: `room` bytes.

    A volume that has large pieces says so by its `piece_bytes`.
    Raises SettingsError.
    """
    piece = getattr(volume, "piece_bytes", 0)
    if COPIES * piece > room:
        raise SettingsError(
            "a worker needs memory for one piece of the file, which is decoded whole",
            found=f"pieces (chunks or strips) of {piece / 1e6:.0f} MB, "
            f"and {max(0, room) / 1e6:.0f} MB for each worker",
            where=volume.name,
            cure="a larger --max-memory, fewer --workers, or a file with smaller chunks: "
            "`neuroglow convert`, on a machine with enough memory, makes one",
        )
