"""What a file is, by its metadata, its record and its name: raw image, probability or label."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from neuroglow.space.names import names_no_image, stem_of
from neuroglow.space.ome_zarr import OmeZarrVolume
from neuroglow.space.record import read_record
from neuroglow.space.volume import Volume

__all__ = ["Kind", "kind_of", "whole_of"]

Kind = Literal["raw", "probability", "label"]

PROBABILITIES = ("prob", "probability", "pred", "prediction")


def kind_of(path: Path, volume: Volume) -> Kind:
    """Tell what a volume is; a label has whole numbers, a probability uint8 or real ones."""
    whole = volume.dtype.kind in "iu"
    record = read_record(path) or {}
    if whole and (_is_marked(volume) or "legend" in record):
        return "label"
    may_be_one = volume.dtype == np.uint8 or volume.dtype.kind == "f"
    named = stem_of(path).lower().replace("-", "_").split("_")[-1]
    if may_be_one and ("model" in record or named in PROBABILITIES):
        return "probability"
    return "label" if whole and names_no_image(path) and named not in PROBABILITIES else "raw"


def whole_of(volume: Volume) -> float:
    """Return the value of a probability that means 1."""
    return 255.0 if volume.dtype == np.uint8 else 1.0


def _is_marked(volume: Volume) -> bool:
    """Tell whether an OME-Zarr says that it is a label."""
    if not isinstance(volume, OmeZarrVolume) or not volume.array:
        return False
    attributes: Any = zarr.open_group(volume.path, mode="r").attrs.asdict()
    return "image-label" in attributes.get("ome", attributes)
