"""Packages for bioimage.io: a model as TorchScript, with its description and a tensor to test it.

    OUT.zip/rdf.yaml, weights.pt, test_input.npy, test_output.npy, README.md

The test output is that of neuroglow's own network on the test input. A package whose script
differs from it is not written.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from neuroglow.errors import ModelError, OutputError, SettingsError
from neuroglow.files.writing import refuse_unwritable, writing
from neuroglow.network.model_settings import ModelSettings
from neuroglow.network.stored import CARD, StoredModel, read_model
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume

__all__ = ["SAME", "describe", "export_package", "side_of", "test_image"]

Floats = NDArray[np.float32]

SAME = 1e-4
"""Largest difference of a probability between the script and neuroglow."""

FORMAT = "0.5.4"

REFERENCE = {
    "text": "DB-Enhance, which neuroglow re-implements and extends: Brain-wide SNR improvement of "
    "neuron connections using deep learning",
    "url": "https://github.com/GTreeSoftware/DB-Enhance",
}

INPUT_NOTE = {
    "noise_units": """The input is grey levels of any camera. The script measures background and
noise of the tensor itself, on cells of {cell} voxels per axis that begin at its first voxel: give
it a whole volume, or large parts of one. neuroglow fixes the cells to the whole volume, recognises
masked tissue and skips empty tissue; this package does none of these.""",
    "fixed": """The input is grey levels of the camera of the training data: they are clipped to
{low:g}..{high:g}, less {mean:g}, over {std:g}, inside the script.""",
}


def export_package(
    model: str | PathLike[str],
    out: str | Path,
    *,
    authors: Sequence[str] = (),
    licence: str = "",
) -> Path:
    """Write a package of a model for bioimage.io: `out` is a .zip.

    authors, licence (SPDX): of the model; those of a bundled model are known.
    Raises OutputError if `out` exists or is no .zip, SettingsError where author or licence is not
    known, ModelError if the script would not have neuroglow's numbers.
    """
    path = Path(out)
    if path.suffix.lower() != ".zip":
        raise OutputError(
            "the package is a .zip", found=path.suffix or "no ending", where=str(path)
        )
    if path.exists():
        raise OutputError("an existing output is not overwritten", where=str(path))
    refuse_unwritable(path)
    stored = read_model(model)
    names = _authors(stored, authors)
    terms = licence or stored.settings.licence or _unknown("--licence", "CC-BY-4.0")
    settings = stored.settings.model_copy(update={"licence": terms})
    files = _tensors(stored)
    card = stored.path / CARD
    files["README.md"] = _documentation(settings, card).encode()
    files["rdf.yaml"] = yaml.safe_dump(
        describe(settings, names, files, stored.stride), sort_keys=False, allow_unicode=True
    ).encode()
    with writing(path):
        partial = path.with_name(path.name + ".partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as package:
            for name, content in files.items():
                package.writestr(name, content)
        partial.rename(path)
    return path


def _authors(stored: StoredModel, given: Sequence[str]) -> list[str]:
    """Return the authors of a model; those of a bundled one are ours."""
    if given:
        return list(given)
    if stored.path.parent.name == "bundled":
        return ["the neuroglow developers"]
    return [_unknown("--author", "NAME")]


def _unknown(option: str, example: str) -> str:
    raise SettingsError(
        "a package states who made the model, and its licence",
        found=f"neither in the model nor given: {option}",
        cure=f"{option} {example}",
    )


def _tensors(stored: StoredModel) -> dict[str, bytes]:
    """Return the script, the test input and the test output, as files.

    Raises ModelError if the script differs from neuroglow's network.
    """
    import torch

    from neuroglow.network.checkpoint import build_model
    from neuroglow.network.scripted import as_script, script_bytes

    image = test_image(side_of(stored.settings, stored.stride))
    expected = _own_probability(stored, image)
    script = as_script(build_model(stored))
    tensor = image.astype(np.float32)[None, None]
    with torch.no_grad():
        found = script(torch.from_numpy(tensor)).numpy()
    difference = float(np.abs(found[0, 0] - expected).max())
    if not difference <= SAME:
        raise ModelError(
            f"the exported script has neuroglow's probabilities, to {SAME:g}",
            found=f"a difference of {difference:.2g}",
            where=str(stored.path),
        )
    return {
        "weights.pt": script_bytes(script),
        "test_input.npy": _npy(tensor),
        "test_output.npy": _npy(expected[None, None]),
    }


def _own_probability(stored: StoredModel, image: NDArray[np.uint16]) -> Floats:
    """Predict a whole image as one block, by PyTorch in float32, as `predict` does."""
    import torch

    from neuroglow.imaging.noise_units import NoiseUnits
    from neuroglow.network.checkpoint import build_model
    from neuroglow.network.inference import Runner

    model = build_model(stored)
    normalisation = stored.settings.normalisation
    if normalisation.kind == "fixed":
        x = normalisation.normalise(image)
    else:
        units = NoiseUnits(ArrayVolume(image), normalisation.cell, tells=False)
        x = units.read_filled(Box.of(image.shape))[1]
    return Runner.prepare(model, torch.device("cpu"), torch.float32).probability(x)


def side_of(settings: ModelSettings, stride: int) -> int:
    """Return the smallest side of an input: it holds a voxel whose halo lies inside, and a cell."""
    cell = getattr(settings.normalisation, "cell", 0)
    least = max(2 * settings.halo + stride, cell)
    return -(-least // stride) * stride


def test_image(side: int) -> NDArray[np.uint16]:
    """Make a synthetic image (zyx): two curved bright lines, one of them faint, in noise."""
    rng = np.random.default_rng(20_261_129)
    image = rng.normal(300, 20, (side,) * 3)
    x = np.arange(side)
    z, y, _ = np.meshgrid(x, x, x, indexing="ij")
    for height, brightness in ((0.3, 300.0), (0.65, 60.0)):
        middle = side * (height + 0.1 * np.sin(x / 9))
        away = (z - middle) ** 2 + (y - side / 2 - 6 * np.cos(x / 13)) ** 2
        image += brightness * np.exp(-away / 3)
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def _npy(array: Floats) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _note(settings: ModelSettings) -> str:
    given = settings.normalisation.model_dump()
    return INPUT_NOTE[settings.normalisation.kind].format(**given)


def _documentation(settings: ModelSettings, card: Path) -> str:
    """Return the README: input, output, validation, and the model's card."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return f"""# {settings.name}

{settings.description}

## Input and output

{_note(settings)}

The output is the probability of a neurite (0 to 1); a voxel counts as detected from
{settings.threshold:g} on.
Of each tile, {settings.halo} voxels along each face are context.

## Validation

Compare with labels of your own data: `neuroglow evaluate`. The card below has what was measured.

{text}"""


def describe(
    settings: ModelSettings, authors: Sequence[str], files: dict[str, bytes], stride: int
) -> dict[str, Any]:
    """Return the description of a model in the words of bioimage.io, 0.5."""
    least = side_of(settings, stride)
    size = {"min": least, "step": stride}
    channel = {"type": "channel", "id": "channel"}
    batch = {"type": "batch", "id": "batch", "size": 1}
    sides = [{"type": "space", "id": axis, "size": size} for axis in "zyx"]
    references = [
        {
            "type": "space",
            "id": axis,
            "halo": settings.halo,
            "size": {"tensor_id": "raw", "axis_id": axis, "offset": 0},
        }
        for axis in "zyx"
    ]
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": f"neuroglow {settings.name}",
        "description": settings.description[:1000] or f"{settings.name}: neurites, as probability",
        "authors": [{"name": name} for name in authors],
        "cite": [REFERENCE],
        "license": settings.licence,
        "documentation": _file(files, "README.md"),
        "tags": ["neurites", "fluorescence-light-microscopy", "3d", "semantic-segmentation"],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [
            {
                "id": "raw",
                "description": "grey levels of a 3D fluorescence image",
                "axes": [batch, channel | {"channel_names": ["raw"]}, *sides],
                "data": {"type": "float32"},
                "test_tensor": _file(files, "test_input.npy"),
            }
        ],
        "outputs": [
            {
                "id": "probability",
                "description": "probability of a neurite",
                "axes": [batch, channel | {"channel_names": ["neurite"]}, *references],
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "test_tensor": _file(files, "test_output.npy"),
            }
        ],
        "weights": {
            "torchscript": _file(files, "weights.pt")
            | {"pytorch_version": version("torch").split("+")[0]}
        },
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [
                    {"absolute_tolerance": SAME, "relative_tolerance": 0.0}
                ]
            },
            "neuroglow": {"threshold": settings.threshold, "version": version("neuroglow")},
        },
    }


def _file(files: dict[str, bytes], name: str) -> dict[str, Any]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}
