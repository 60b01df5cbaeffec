"""The notebook in examples/ runs from top to bottom, and shows what it promises."""

import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from conftest import ROOT

pytestmark = pytest.mark.slow


def run(notebook, folder):
    """Run a notebook in a folder with the Python of these tests."""
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager().kernel_spec.argv[0] = sys.executable
    client.execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.filterwarnings("ignore")  # of the kernel
def test_the_quickstart_goes_from_an_array_to_a_picture_and_a_tree(tmp_path):
    notebook = nbformat.read(ROOT / "examples/quickstart.ipynb", as_version=4)
    outputs = run(notebook, tmp_path)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    last = outputs[-1]["data"]["text/plain"]
    recall = float(last.split("recall ")[1].split(",")[0])
    assert recall > 0.5


@pytest.mark.filterwarnings("ignore")
def test_a_failing_cell_is_found(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(notebook, tmp_path)
