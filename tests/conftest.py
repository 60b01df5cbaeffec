"""What all tests share."""

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shared():
    """Reference numbers and real volumes, which are not part of the repository."""
    folder = ROOT.parent / "shared"
    if not (folder / "reference").is_dir():
        pytest.skip("../shared (reference numbers, real volumes) is not here")
    return folder


@pytest.fixture(autouse=True)
def own_models(tmp_path_factory, monkeypatch):
    """Keep the user's own models out of the tests."""
    monkeypatch.setenv("NEUROGLOW_MODELS", str(tmp_path_factory.getbasetemp() / "models"))


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    torch.set_num_threads(2)
