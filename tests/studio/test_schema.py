"""Whatever fits the studio's own schema, or nearly does, is answered: never by an error of the server."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from test_safety import served  # noqa: F401  # a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("schemathesis") is None, reason="needs schemathesis (make test-studio has it)"
    ),
]

CONFIG = """
[parameters]
path = ["a.tif", "a.swc", ""]
key = ["a.tif/zarr.json", "a.tif/0/zarr.json", "a.tif/0/c/0/0/0"]
"""


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "seen"
    place.mkdir()
    tifffile.imwrite(place / "a.tif", np.zeros((8, 16, 16), np.uint8))
    (place / "a.swc").write_text("1 1 0 0 0 1 -1\n2 2 3 0 0 1 1\n")
    return place


def test_no_request_ends_in_an_error_of_the_server(served, tmp_path):  # noqa: F811
    port, token, _ = served
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    words = [Path(sys.executable).with_name("schemathesis"), "--config-file", "schemathesis.toml"]
    words += [
        "run",
        f"http://127.0.0.1:{port}/openapi.json",
        "-H",
        f"Authorization: Bearer {token}",
    ]
    words += ["--checks", "not_a_server_error", "--phases", "coverage,fuzzing", "-n", "5"]
    words += [
        "--seed",
        "1",
        "--max-time",
        "40",
        "--suppress-health-check",
        "all",
        "--request-timeout",
        "120",
    ]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:]
    answer = httpx.get(
        f"http://127.0.0.1:{port}/api/folder", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200
