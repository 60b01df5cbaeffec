"""What all tests share."""

import signal
from pathlib import Path

import pytest

from neuroglow.files.remarks import forget_remarks
from slow import is_slow

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
    """Keep the user's own models, and those of other tests, out of each test."""
    monkeypatch.setenv("NEUROGLOW_MODELS", str(tmp_path_factory.mktemp("models")))


@pytest.fixture(autouse=True)
def nothing_said_yet():
    """Let what is said once a run be said in each test."""
    forget_remarks()


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """Use two threads at most; where fewer are set, they stay fewer."""
    import torch  # here, since the process that only deals tests out to others does without

    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True, scope="session")
def heed_ctrl_c():
    """Let Ctrl-C reach the processes of tests, though a shell in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Mark the slow tests, which `make check` leaves out."""
    for item in items:
        if is_slow(item.path.stem, getattr(item, "originalname", item.name)):
            item.add_marker(pytest.mark.slow)
