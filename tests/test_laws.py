"""The design's laws hold, and each check finds a planted breach."""

import subprocess
import sys

import pytest

from conftest import ROOT
from laws import import_breaches, style_breaches

SRC = ROOT / "src/neuroglow"


def test_the_import_law_holds():
    assert import_breaches(SRC) == []


def test_the_style_law_holds():
    assert style_breaches(SRC) == []


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        ("predict.py", "from neuroglow.phantom import grow", "imports neuroglow.phantom"),
        (
            "space/tiff.py",
            "def f():\n    from neuroglow.predict import predict",
            "imports neuroglow.predict",
        ),
        ("learn/losses.py", "import neuroglow.cli", "imports neuroglow.cli"),
        ("errors.py", "from neuroglow.space.tiff import open_tiff", "imports neuroglow.space.tiff"),
        ("predict.py", "import torch", "imports torch"),
        ("space/volume.py", "def f():\n    import torch", "imports torch"),
        ("predict.py", "def f():\n    from dask import array", "imports dask"),
        ("learn/metrics.py", "import napari", "imports napari"),
    ],
)
def test_a_planted_import_is_found(tmp_path, file, text, breach):
    path = tmp_path / "neuroglow" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert any(breach in found for found in import_breaches(tmp_path / "neuroglow"))


def test_planted_breaches_of_style_are_found(tmp_path):
    folder = tmp_path / "neuroglow"
    folder.mkdir()
    (folder / "utils.py").write_text("def f(a, b, c, d, e, f, g, h):\n" + "    a\n" * 60)
    (folder / "long.py").write_text("\n" * 501)
    words = " ".join(style_breaches(folder))
    for breach in ("says nothing", "over 60 lines", "over 7 parameters", "over 500 lines"):
        assert breach in words


def loaded_by(code):
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


def test_importing_neuroglow_is_light():
    loaded = loaded_by("import neuroglow")
    assert not loaded & {"torch", "dask", "zarr", "scipy", "tifffile", "PIL", "rich"}


def test_help_is_light():
    code = "import sys; sys.argv = ['neuroglow', '--help']\nfrom neuroglow.cli import app\n"
    loaded = loaded_by(code + "try:\n    app()\nexcept SystemExit:\n    pass")
    assert not loaded & {"torch", "dask", "zarr", "scipy", "tifffile"}


def test_the_public_face_is_what_it_says():
    import neuroglow

    assert neuroglow.__all__ == sorted(
        neuroglow.__all__, key=lambda name: (name[0].islower(), name)
    )
    for name in neuroglow.__all__:
        assert callable(getattr(neuroglow, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = neuroglow.nothing
