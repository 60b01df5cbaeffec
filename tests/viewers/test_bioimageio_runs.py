"""bioimageio.core validates an exported package, and its numbers are neuroglow's."""

from neuroglow.network.bioimageio import export_package
from viewing import needs

pytestmark = needs("bioimageio.core")


def test_the_package_of_the_bundled_model_is_valid_and_has_its_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))
    from bioimageio.core import test_description as validate

    summary = validate(export_package("light-microscopy", tmp_path / "m.zip"))
    assert summary.status == "passed", summary.format()
