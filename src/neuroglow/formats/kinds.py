"""What a volume is, by its record, its metadata and its name: raw image, probability or label."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from neuroglow.files.names import names_no_image, stem_of
from neuroglow.files.record import read_record
from neuroglow.formats.ngff import image_attributes
from neuroglow.formats.ome_zarr import OmeZarrVolume
from neuroglow.space.volume import Volume

__all__ = ["VoxelKind", "expected_kind", "kind_of", "whole_of"]

VoxelKind = Literal["raw", "probability", "label"]

PROBABILITIES = ("prob", "probability", "pred", "prediction")


def expected_kind(path: Path) -> VoxelKind:
    """Tell what a volume is without opening it: by its record, else by its name."""
    record = read_record(path) or {}
    if "model" in record and "used" in record:
        return "probability"
    if "legend" in record:
        return "label"
    if not names_no_image(path):
        return "raw"
    last = re.split(r"[_\-. ]", stem_of(path).lower())[-1]
    return "probability" if last in PROBABILITIES else "label"


def kind_of(path: Path, volume: Volume) -> VoxelKind:
    """Tell what an open volume is; a label has whole numbers, a probability uint8 or real ones."""
    whole = volume.dtype.kind in "iu"
    kind: VoxelKind = "label" if whole and _is_marked(volume) else expected_kind(path)
    fits = {
        "raw": True,
        "label": whole,
        "probability": volume.dtype == np.uint8 or volume.dtype.kind == "f",
    }
    return kind if fits[kind] else "raw"


def whole_of(volume: Volume) -> float:
    """Return the value of a probability that means 1."""
    return 255.0 if volume.dtype == np.uint8 else 1.0


def _is_marked(volume: Volume) -> bool:
    """Tell whether an OME-Zarr says that it is a label."""
    if not isinstance(volume, OmeZarrVolume) or not volume.array:
        return False
    return "image-label" in image_attributes(volume.path)
