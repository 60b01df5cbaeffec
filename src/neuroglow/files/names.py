"""Names of files: the stem of a volume's name, and which names are volumes.

All verbs use these, so that they find, name and refuse the same files.
"""

from __future__ import annotations

import re
from pathlib import Path

from neuroglow.files.remote import remote_path

__all__ = [
    "HDF5_SUFFIXES",
    "NRRD_SUFFIXES",
    "ONE_FILE_SUFFIXES",
    "OTHER_SUFFIXES",
    "OUTPUT_SUFFIXES",
    "TIFF_SUFFIXES",
    "TREE_SUFFIX",
    "VOLUME_SUFFIXES",
    "absolute",
    "bare_name",
    "is_ome_tiff",
    "is_output_file",
    "is_tiff",
    "is_volume",
    "names_no_image",
    "natural",
    "stem_of",
]

TIFF_SUFFIXES = (".tif", ".tiff")
ZARR_SUFFIXES = (".zarr",)
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".ims")
NRRD_SUFFIXES = (".nrrd", ".nhdr")
_PLAIN_SUFFIXES = (*NRRD_SUFFIXES, ".nii", ".nii.gz", ".mrc", ".v3draw", ".v3dpbd")
OTHER_SUFFIXES = (*_PLAIN_SUFFIXES, ".czi", ".lif", ".nd2")
VOLUME_SUFFIXES = (*TIFF_SUFFIXES, *ZARR_SUFFIXES, *HDF5_SUFFIXES, *OTHER_SUFFIXES)
"""Names with these endings are volumes, in every verb and in every folder."""
ONE_FILE_SUFFIXES = tuple(s for s in VOLUME_SUFFIXES if s not in (*ZARR_SUFFIXES, ".nhdr"))
"""Volumes that are one file: not a folder, and not a header that names another file."""

TREE_SUFFIX = ".swc"
OUTPUT_SUFFIXES = (*ZARR_SUFFIXES, *TIFF_SUFFIXES)
"""Formats in which a volume can be written."""


def is_volume(path: str | Path) -> bool:
    """Return whether a file or folder is a volume, by its name."""
    return Path(path).name.lower().endswith(VOLUME_SUFFIXES)


def is_tiff(path: str | Path) -> bool:
    """Return whether a file is a TIFF, by its name."""
    return Path(path).name.lower().endswith(TIFF_SUFFIXES)


def is_output_file(path: str | Path) -> bool:
    """Return whether an output is one volume, not a folder of volumes, by its name."""
    return Path(path).name.lower().endswith(OUTPUT_SUFFIXES)


def absolute(source: str) -> str:
    """Return the name of a volume from any folder; a dataset inside a file stays (`::/raw`)."""
    if "://" in source:
        return source
    name, inside, dataset = source.partition("::")
    return f"{Path(name).resolve()}{inside}{dataset}"


def stem_of(source: str | Path) -> str:
    """Return the name of a volume without folder and ending: `a/brain.ome.zarr` is `brain`.

    A dataset that is named inside a file (`brain.h5::/raw`) is left out.
    """
    text = str(source).partition("::")[0]
    name = Path(text.partition("?")[0] if remote_path(text) else text).name
    if name.lower().endswith(".nii.gz"):
        return name[: -len(".nii.gz")]
    at = name.lower().rfind(".ome.")
    return name[:at] if at > 0 else Path(name).stem


def bare_name(output: str | Path) -> Path:
    """Remove the ending of another format from an output: `a/brain.nii.gz` gives `a/brain`."""
    path = Path(output)
    compressed = path.suffix.lower() in (".gz", ".bz2", ".zip")
    return (path.with_suffix("") if compressed else path).with_suffix("")


_LABELS = ("label", "labels", "mask", "masks", "seg", "segmentation", "truth")
_RESULTS = ("prob", "probability", "pred", "prediction")


def is_ome_tiff(path: str | Path) -> bool:
    """Return whether a TIFF is an OME-TIFF, which may consist of several files, by its name."""
    return is_tiff(path) and ".ome." in Path(path).name.lower()


def names_no_image(path: str | Path) -> bool:
    """Return whether a volume is a label, mask or result, by its name, such as `a_prob.tif`."""
    last = re.split(r"[_\-. ]", stem_of(path).lower())[-1]
    return last in _LABELS or last in _RESULTS


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
