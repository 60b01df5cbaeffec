"""Packages for bioimage.io: the script has neuroglow's numbers; tests/viewers runs the package."""

import io
import warnings
import zipfile

import numpy as np
import pytest
import torch
import yaml

import neuroglow
from neuroglow.errors import ModelError, OutputError, SettingsError
from neuroglow.network import scripted
from neuroglow.network.bioimageio import SAME, export_package, side_of
from neuroglow.network.build import build_network
from neuroglow.network.checkpoint import save_model
from neuroglow.network.model_settings import Calibration, FixedInput, ModelSettings, NoiseUnitsInput
from running import run

ARGUMENTS = {"widths": [4, 6], "blocks": [1, 1]}
UNITS = NoiseUnitsInput(cell=16)


def small(folder, normalisation=UNITS, licence="MIT"):
    torch.manual_seed(3)
    settings = ModelSettings(
        name="small",
        network="glow",
        arguments=ARGUMENTS,
        normalisation=normalisation,
        halo=4,
        threshold=0.4,
        calibration=Calibration(scale=0.8, shift=0.3),
        licence=licence,
    )
    network = build_network("glow", ARGUMENTS)
    return save_model(folder / f"small-{normalisation.kind}", network, settings)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    model = small(folder)
    out = export_package(model, folder / "m.zip", authors=["A Person"])
    with zipfile.ZipFile(out) as content:
        return model, {name: content.read(name) for name in content.namelist()}


def neurites(shape, dtype):
    rng = np.random.default_rng(5)
    image = rng.normal(200, 15, shape)
    image[4:7, 10:13] += 120
    image[:, 20:22, 9] += 40
    return image.astype(dtype)


def zeros(shape, dtype):
    image = neurites(shape, dtype)
    image[::3, ::2, ::5] = 0  # single voxels that are no measurement
    return image


def answer(script, image):
    """Run a script as other programs do."""
    with warnings.catch_warnings(), torch.no_grad():
        for kind in (DeprecationWarning, FutureWarning):  # TorchScript is old
            warnings.simplefilter("ignore", kind)
        run = torch.jit.load(io.BytesIO(script))
        return run(torch.from_numpy(image.astype(np.float32))[None, None])[0, 0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape", "dtype"),
    [
        (neurites, (32, 40, 56), np.uint16),  # cells of half a size more at an end
        (neurites, (8, 24, 40), np.float32),  # one cell along z; half a cell is no cell, or one
        (zeros, (32, 32, 32), np.uint16),
    ],
)
def test_the_script_has_the_numbers_of_predict(package, make, shape, dtype):
    model, files = package
    image = make(shape, dtype)
    found = answer(files["weights.pt"], image)
    expected = neuroglow.predict(
        image, model=model, gate=False, engine="torch", precision="float32"
    )
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(found, expected, atol=SAME, rtol=0)


def test_a_package_describes_itself(package):
    model, files = package
    said = yaml.safe_load(files["rdf.yaml"])
    assert (said["license"], said["authors"]) == ("MIT", [{"name": "A Person"}])
    assert said["config"]["neuroglow"]["threshold"] == 0.4
    image, probability = (np.load(io.BytesIO(files[f"test_{n}.npy"])) for n in ("input", "output"))
    settings = neuroglow.load_model(model).settings
    assert image.shape == probability.shape == (1, 1, *[side_of(settings, 4)] * 3)
    whole = neuroglow.predict(
        image[0, 0].astype(np.uint16), model=model, gate=False, engine="torch", precision="float32"
    )
    np.testing.assert_allclose(probability[0, 0], whole, atol=1e-6)
    assert b"cells of 16 voxels" in files["README.md"]
    (raw,) = said["inputs"]
    assert [axis.get("size") for axis in raw["axes"][2:]] == [{"min": 16, "step": 4}] * 3


@pytest.mark.slow
def test_a_model_of_one_camera_is_exported_with_its_grey_levels(tmp_path):
    model = small(tmp_path, FixedInput(low=0, high=250, mean=180, std=40))
    with zipfile.ZipFile(export_package(model, tmp_path / "f.zip", authors=["A"])) as content:
        script = content.read("weights.pt")
    image = neurites((16, 16, 24), np.uint16)
    found = answer(script, image)
    expected = neuroglow.predict(image, model=model, engine="torch", precision="float32")
    np.testing.assert_allclose(found, expected, atol=SAME, rtol=0)


def test_what_cannot_be_exported_is_refused(tmp_path, capsys, monkeypatch):
    model, out = small(tmp_path, licence=""), tmp_path / "m.zip"
    with pytest.raises(SettingsError, match="who made the model") as error:
        export_package(model, out)
    assert "--author" in str(error.value)
    with pytest.raises(SettingsError, match="its licence"):
        export_package(model, out, authors=["A"])
    with pytest.raises(OutputError, match=r"a \.zip"):
        export_package(model, tmp_path / "m", authors=["A"], licence="MIT")
    monkeypatch.setattr(scripted, "as_script", lambda model: torch.zeros_like)
    with pytest.raises(ModelError, match="a difference of"):
        export_package(model, out, authors=["A"], licence="MIT")
    assert not list(tmp_path.glob("m.zip*"))
    out.write_text("mine")
    status, said = run(capsys, "models", "export", model, "--bioimageio", out)
    assert (status, "not overwritten" in said, out.read_text()) == (2, True, "mine")
