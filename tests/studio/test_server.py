"""What a page asks of the studio: the folder, thumbnails, trees, models, runs, reports, uploads."""

import io
import json

import numpy as np
import pytest
import tifffile

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("httpx", reason="needs httpx, to ask the studio")

from asking import error_of, studio_of
from PIL import Image

from neuroglow.report import Page
from neuroglow.trees.swc import Tree, write_swc


def a_tree():
    points = np.column_stack([np.full(5, 6.0), np.arange(5) * 4.0, np.full(5, 3.0)])
    return Tree(points, np.ones(5), np.full(5, 2, np.int64), np.arange(5) - 1)


@pytest.fixture
def folder(tmp_path):
    """Make a folder with one of each kind, as our verbs leave them."""
    voxels = np.random.default_rng(1).normal(300, 10, (20, 40, 60)).astype(np.uint16)
    voxels[10, 20, :] = 900
    tifffile.imwrite(tmp_path / "brain.tif", voxels, imagej=True)
    tifffile.imwrite(tmp_path / "brain_prob.tif", (voxels > 600).astype(np.uint8) * 255)
    record = {
        "output": "brain_prob.tif",
        "input": {"name": "brain.tif"},
        "model": {"name": "light-microscopy", "threshold": 0.4},
        "used": {},
    }
    (tmp_path / "brain_run.json").write_text(json.dumps(record))
    write_swc(a_tree(), tmp_path / "brain.swc")
    traced = {"input": {"name": "brain_prob.tif", "raw": "brain.tif"}, "used": {}, "summary": {}}
    (tmp_path / "brain_trees.json").write_text(json.dumps(traced))
    Page("Scores").paragraph("fine").write(tmp_path / "report.html")
    (tmp_path / "notes.txt").write_text("not shown")
    (tmp_path / ".hidden.tif").write_bytes(b"")
    (tmp_path / "cubes").mkdir()
    (tmp_path / "cubes/manifest.csv").write_text("name,image,label,split\na,a.tif,,train\n")
    a_run(tmp_path / "run")
    return tmp_path


def a_run(run):
    (run / "pictures").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"settings": {"steps": 40}}))
    rows = [{"step": i, "loss": 1 / i, "learning_rate": 0.1, "seconds": 1.0, "waiting": 0.0}
            for i in range(1, 31)]  # fmt: skip
    rows.insert(10, {"step": 10, "validation": {"average_precision": 0.5, "dice": float("nan")}})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "log.jsonl").write_text(text + '{"step": 31, "lo')
    Image.new("RGB", (600, 300), "red").save(run / "pictures/step-000010.png")


def test_the_folder_lists_each_kind_and_what_belongs_together(folder):
    answer = studio_of(folder).get("/api/folder").json()
    items = {item["path"]: item for item in answer["items"]}
    assert {path: item["kind"] for path, item in items.items()} == {
        "brain.tif": "volume",
        "brain_prob.tif": "probability",
        "brain.swc": "trees",
        "report.html": "report",
        "cubes": "selection",
        "run": "run",
    }
    assert items["brain_prob.tif"]["belongs_to"] == ["brain.tif"]
    assert items["brain.swc"]["belongs_to"] == ["brain_prob.tif", "brain.tif"]
    assert items["brain.tif"]["shape"] == [20, 40, 60]


def test_grey_levels_are_those_of_the_noise(folder):
    ask = studio_of(folder)
    raw = ask.get("/api/volume", path="brain.tif").json()
    assert abs(raw["background"] - 300) < 3
    assert abs(raw["noise"] - 10) < 2
    probability = ask.get("/api/volume", path="brain_prob.tif").json()
    assert (probability["high"], probability["threshold"]) == (255, 0.4)


@pytest.mark.parametrize("path", ["brain.tif", "brain_prob.tif", "brain.swc", "run"])
def test_thumbnails_are_small_pictures_that_are_kept(folder, path):
    ask = studio_of(folder)
    answer = ask.get("/api/thumbnail", path=path)
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert max(pixels.shape[:2]) <= 192
    assert pixels.max() - pixels.min() > 60
    assert ask.get("/api/thumbnail", path=path).content == answer.content
    assert len(list((folder / ".neuroglow-studio/thumbnails").iterdir())) == 1


def test_a_folder_of_cubes_shows_them_side_by_side(folder):
    """A bright and a dark one, each on its own side; a third that cannot be read is left out."""
    (folder / "pair").mkdir()
    for name, top in (("bright", 4000), ("flat", 400)):
        voxels = np.full((6, 30, 30), 100, np.uint16)
        voxels[:, 10:20, 10:20] = top
        tifffile.imwrite(folder / f"pair/{name}.tif", voxels)
    rows = "name,image\na,bright.tif\nb,flat.tif\nc,none.tif\n"
    (folder / "pair/manifest.csv").write_text(rows)
    answer = studio_of(folder).get("/api/thumbnail", path="pair")
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")).astype(int)
    assert pixels.shape == (96, 192)
    left, right = pixels[:, :94], pixels[:, 98:]
    assert min(left[48, 40:54].min(), right[48, 40:54].min()) > 200
    assert max(left[12, 12], right[12, 12]) < 60


def test_an_item_without_a_picture_says_so(folder):
    answer = studio_of(folder).get("/api/thumbnail", path="report.html")
    assert answer.status_code == 404
    assert error_of(answer)["found"] == "no picture"


def test_trees_are_in_micrometres(folder):
    answer = studio_of(folder).get("/api/trees", path="brain.swc").json()
    assert answer["volume"] == "brain_prob.tif"
    (tree,) = answer["trees"]
    assert tree["nodes"][1] == [3.0, 4.0, 6.0, 1.0, 0, 2]
    assert tree["length"] == 16


def test_models_are_the_named_ones_and_those_of_the_folder(folder):
    from neuroglow.network.models import find_model

    model = folder / "run/checkpoints/best"
    model.parent.mkdir()
    model.symlink_to(find_model("light-microscopy"))  # a link that leads out is not listed
    ask = studio_of(folder)
    assert [m["name"] for m in ask.get("/api/models").json()["models"] if m["path"]] == []
    model.unlink()
    model.mkdir()
    (model / "model.json").write_bytes((find_model("light-microscopy") / "model.json").read_bytes())
    listed = {m["name"]: m for m in ask.get("/api/models").json()["models"]}
    assert listed["light-microscopy"]["bundled"]
    assert listed["run"]["path"] == "run"
    assert listed["run"]["threshold"] == listed["light-microscopy"]["threshold"]


def test_a_run_shows_its_curves_while_it_goes_on(folder, monkeypatch):
    ask = studio_of(folder)
    run = ask.get("/api/runs", path="run").json()
    assert [row["step"] for row in run["steps"]] == list(range(1, 31))
    assert run["validations"] == [{"step": 10, "average_precision": 0.5, "dice": None}]
    assert (run["wanted"], run["pictures"], run["report"]) == (40, [10], False)
    picture = ask.get("/api/runs/picture", path="run", step=10)
    assert picture.content == (folder / "run/pictures/step-000010.png").read_bytes()
    assert ask.get("/api/runs/picture", path="run", step=11).status_code == 404
    monkeypatch.setattr("neuroglow.studio.runs.MOST", 10)
    few = ask.get("/api/runs", path="run").json()["steps"]
    assert [row["step"] for row in few] == list(range(3, 31, 3))
    assert few[0]["loss"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_a_report_opens_once_by_its_ticket_in_a_sandbox(folder):
    ask = studio_of(folder)
    address = ask.post("/api/tickets", {"path": "report.html"}).json()["url"]
    page = ask.get(address, {"authorization": None})
    assert page.content == (folder / "report.html").read_bytes()
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in page.headers["content-security-policy"]
    assert ask.get(address).status_code == 404
    assert ask.post("/api/tickets", {"path": "brain.tif"}).status_code == 400


def test_a_ticket_ends_after_a_minute(folder, monkeypatch):
    ask = studio_of(folder)
    monkeypatch.setattr("neuroglow.studio.tickets.LASTS_S", -1.0)
    address = ask.post("/api/tickets", {"path": "report.html"}).json()["url"]
    assert ask.get(address).status_code == 404


def upload(ask, name, content, path=""):
    return ask("POST", "/api/upload", params={"path": path, "name": name}, content=content)


def test_a_file_that_is_dropped_is_there_and_never_over_another(folder):
    ask, content = studio_of(folder), (folder / "brain.tif").read_bytes()
    taken = upload(ask, "new one.tif", content, "cubes")
    assert (taken.status_code, taken.json()) == (201, {"path": "cubes/new one.tif"})
    assert (folder / "cubes/new one.tif").read_bytes() == content
    assert ask.get("/api/volume", path="cubes/new one.tif").json()["shape"] == [20, 40, 60]
    again = upload(ask, "brain.tif", content + b"x")
    assert again.status_code == 409
    assert (folder / "brain.tif").read_bytes() == content
    assert not list(folder.rglob("*.upload"))


@pytest.mark.parametrize(
    "name",
    ["../a.tif", "a/b.tif", "a.py", ".a.tif", "a.tif\n", "a\\b.tif", "..tif", "model.json", "",
     "a.ckpt", "a.html", "a.zarr", "report.csv", "a.xml", "a.tif\0.py"],
)  # fmt: skip
def test_names_that_are_not_of_data_are_not_taken(folder, name):
    before = sorted(folder.rglob("*"))
    answer = upload(studio_of(folder), name, (folder / "brain.tif").read_bytes())
    assert 400 <= answer.status_code < 500
    error_of(answer)
    assert [p for p in sorted(folder.rglob("*")) if ".neuroglow" not in str(p)] == before


def test_what_is_dropped_as_a_tiff_must_be_one(folder):
    answer = upload(studio_of(folder), "a.tif", b"#!/bin/sh\necho")
    assert answer.status_code == 422
    assert not (folder / "a.tif").exists()
    assert not list(folder.rglob("*.upload"))


def test_a_folder_that_is_read_only_is_shown_all_the_same(folder, monkeypatch):
    from pathlib import Path

    real = Path.mkdir

    def refuse(self, *given, **more):
        if self.name == ".neuroglow-studio":
            raise PermissionError(13, "Permission denied")
        return real(self, *given, **more)

    monkeypatch.setattr(Path, "mkdir", refuse)
    ask = studio_of(folder)
    assert ask.get("/api/thumbnail", path="brain.tif").status_code == 200
    assert not (folder / ".neuroglow-studio").exists()
