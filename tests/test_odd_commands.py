"""Forty odd commands, as people type them: status, and that the message names rule and cure."""

import re
import shlex

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from neuroglow.cli.commands import app
from neuroglow.cli.guesses import OPTIONS, guess_option, guess_verb
from running import run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a file of each kind, small."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(1)
    image = rng.normal(200, 10, (24, 24, 24)).astype("uint16")
    label = np.zeros((24, 24, 24), np.uint8)
    label[12, 12, 3:21] = 1
    tifffile.imwrite(folder / "image.tif", image, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "prob.tif", label * np.uint8(200), metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "label.tif", label, metadata={"axes": "ZYX"})
    (folder / "empty.tif").touch()
    (folder / "pool.csv").write_text("name,image,label\none,image.tif,label.tif\n")
    (folder / "tree.swc").write_text("1 2 3 12 12 1 -1\n2 2 20 12 12 1 1\n")
    (folder / "book.csv").write_bytes(b"PK\x03\x04")
    (folder / "odd.csv").write_text("Title;Image;Label\none;image.tif;label.tif\n")
    (folder / "mixed.csv").write_text("Name;Image;Split\none;image.tif;Training\n")
    (folder / "lost.csv").write_text("name\timage\none\tD:\\data\\image.tif\n")
    (folder / "nm.swc").write_text("# unit: nm\n1 2 3 12 12 1 -1\n2 2 20 12 12 1 1\n")
    (folder / "twice.swc").write_text("# OFFSET 1 2 3\n# OFFSET 3 2 1\n1 2 3 12 12 1 -1\n")
    colours = np.repeat(label[..., None] * np.uint8(255), 3, -1)
    tifffile.imwrite(folder / "colour.tif", colours, photometric="rgb")
    tifffile.imwrite(folder / "negative.tif", label.astype(np.int8) - 1, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "small.tif", label[:20], metadata={"axes": "ZYX"})
    (folder / "slices").mkdir()
    return folder


TABLE = [
    # guessed options: the one meant here is named
    ("predict image.tif --output p.tif", 2, "here it is -o"),
    ("predict --input image.tif -o p.tif", 2, "here it is INPUT, without an option"),
    ("predict image.tif -o p.tif --gpu 0", 2, "here it is --device cuda"),
    ("predict image.tif -o p.tif --batch-size 4", 2, "here it is --max-memory"),
    ("predict image.tif -o p.tif --threads 4", 2, "here it is --workers"),
    ("predict image.tif -o p.tif --checkpoint m", 2, "here it is --model"),
    ("predict image.tif -o p.tif --from m", 2, "here it is --model"),
    ("predict image.tif -o p.tif --overwrite", 2, "here it is --restart"),
    ("predict image.tif -o p.tif --spacing 1,1,1", 2, "here it is --voxel-size Z,Y,X"),
    ("predict image.tif -o p.tif --tta", 2, "here it is --views"),
    ("predict image.tif -o p.tif --voxel_size 1,1,1", 2, "here it is --voxel-size"),
    ("train pool.csv -o run --epochs 3", 2, "here it is --steps"),
    ("train pool.csv -o run --batch-size 3", 2, "here it is --batch"),
    ("train pool.csv -o run --lr 1e-4", 2, "here it is --learning-rate"),
    ("train pool.csv -o run --model light-microscopy", 2, "here it is --from MODEL"),
    ("train pool.csv -o run --threads 3", 2, "here it is --loaders"),
    ("train pool.csv -o run --overwrite", 2, "here it is another -o"),
    ("evaluate prob.tif label.tif --out-dir r", 2, "here it is -o"),
    ("evaluate prob.tif label.tif -o r --thresh 0.4", 2, "here it is --threshold"),
    ("trace prob.tif -o t.swc --force", 2, "here it is --restart"),
    ("survey . -o s.csv --num-workers 2", 2, "here it is --workers"),
    ("phantom pool -o p -n 3", 2, "here it is --cubes"),
    # guessed verbs
    ("segment image.tif -o p.tif", 2, "neuroglow predict"),
    ("infer image.tif", 2, "neuroglow predict"),
    ("finetune pool.csv", 2, "neuroglow train --from MODEL"),
    ("skeletonize prob.tif", 2, "neuroglow trace"),
    ("predcit image.tif", 2, "neuroglow predict"),
    # what is missing or cannot be
    ("predict", 2, "Missing argument 'INPUT"),
    ("predict nothing.tif -o p.tif", 2, "the input must exist"),
    ("predict image.tif -o p.nii.gz", 2, "-o p.ome.zarr or -o p.tif"),
    ("predict image.tif -o p.nrrd", 2, "-o p.ome.zarr or -o p.tif"),
    ("label tree.swc --like image.tif -o l.nii.gz", 2, "-o l.ome.zarr or -o l.tif"),
    ("predict image.tif -o image.tif", 2, "must not be the input"),
    ("predict image.tif -o p.tif --model nothing", 2, "known: "),
    ("predict image.tif -o p.tif --model light-microscope", 2, "did you mean 'light-microscopy'"),
    ("predict image.tif -o p.tif --resume --restart", 2, "exclude each other"),
    ("predict image.tif -o p.tif --roi 0:10", 2, "Z0:Z1,Y0:Y1,X0:X1"),
    ("predict image.tif -o p.tif --roi 0:99,0:9,0:9", 2, "0:24"),
    ("predict image.tif -o p.tif --device gpu", 2, "cuda"),
    ("predict image.tif -o p.tif --max-memory lots", 2, "max"),
    ("predict image.tif -o p.tif --views 3", 2, "views"),
    ("predict empty.tif -o p.tif", 2, "empty.tif"),
    ("predict slices -o p.tif", 2, "slices"),
    ("predict image.tif -o p.tif --config nothing.yaml", 2, "YAML"),
    ("select pool.csv -o s.csv", 2, "-n 300, for example"),
    ("select pool.csv -o s.csv -n 0", 2, "at least one cube"),
    ("select pool.csv -o s.txt -n 1", 2, "csv"),
    ("survey image.tif -o s.xlsx", 2, ".csv"),
    ("train nothing.csv -o run", 2, "a manifest is a CSV file"),
    ("train pool.csv -o run --val-fraction 0 --from nothing", 2, "known name"),
    (
        "train pool.csv -o run --val-fraction 0 --resume",
        2,
        "only a run that has begun can be resumed",
    ),
    ("evaluate prob.tif nothing.tif -o r", 2, "must exist"),
    ("evaluate prob.tif image.tif -o r.pdf", 2, "html"),
    ("evaluate prob.tif empty.tif -o r", 2, "empty.tif"),
    ("trace image.tif -o t.swc", 2, "probability"),
    ("trace prob.tif -o t.obj", 2, ".swc"),
    # labels, legends, tables and trees as people have them
    ("evaluate prob.tif label.tif -o r --label-map 0=ignore,2=neurite", 2, "1 (18 voxels)"),
    ("evaluate prob.tif label.tif -o r --label-map 0=ignore,1=dendrite", 2, "neurite"),
    ("evaluate prob.tif colour.tif -o r", 2, "colour.tif"),
    ("evaluate prob.tif negative.tif -o r", 2, "--label-map -1=ignore,0=background"),
    ("evaluate prob.tif small.tif -o r", 2, "small.tif"),
    ("train book.csv -o run", 2, "save it as CSV"),
    ("survey odd.csv -o s.csv", 2, "no column 'name', but 'Title', 'image', 'label'"),
    ("train mixed.csv -o run", 2, "train, if that is meant"),
    ("train lost.csv -o run", 2, "relative to"),
    ("label twice.swc --like image.tif -o l.tif", 2, "says offset once"),
    ("label nm.swc --like image.tif -o l.tif", 2, "--swc-unit um"),
    ("label tree.swc --like image.tif -o l.tif --offset 1,2", 2, "offset"),
    ("label tree.swc --like image.tif -o l.tif --offset 500,0,0", 2, "tree.swc"),
    ("evaluate prob.tif tree.swc -o r --offset 500,0,0", 2, "tree.swc"),
    ("phantom cube -o c --size 8 --shape 8,8,8", 2, "exclude each other"),
    ("phantom cube -o c --region nowhere", 2, "sparse"),
    ("testset -o t --size 4", 2, "16"),
    ("models show nothing", 2, "known"),
    ("trace prob.tif -o prob.tif", 2, ".swc"),
    ("trace prob.tif -o tree.swc --restart", 2, "only a trace is replaced"),
    ("trace prob.tif -o t.swc --voxel-size 2x1x1", 2, "voxel_size"),
    ("trace prob.tif -o t.swc --threshold 127", 2, "threshold"),
    ("trace prob.tif -o t.swc --raw tree.swc", 2, "known: TIFF"),
    ("evaluate prob.tif label.tif -o slices/../odd.csv", 2, "-o slices/../odd.html"),
    ("survey pool.csv -o odd.csv --restart", 2, "only a survey is replaced"),
    ("select pool.csv -n 1 -o odd.csv --restart", 2, "only a selection is replaced"),
    ("label image.tif --like tree.swc -o l.tif", 2, "trees are an SWC file"),
    ("label tree.swc --like image.tif -o tree.swc --restart", 2, ".ome.zarr or .tif"),
    ("models import image.tif -o m", 2, "image.tif"),
]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_an_odd_command_is_answered_in_words(inputs, monkeypatch, capsys, row):
    words, status, said = row
    monkeypatch.chdir(inputs)
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(p.name for p in inputs.iterdir())
    found, text = run(capsys, *shlex.split(words))
    assert found == status, text
    assert said in " ".join(text.split()), text
    assert "Traceback" not in text
    assert sorted(p.name for p in inputs.iterdir()) == before  # nothing is left behind


def test_without_an_output_predict_writes_beside_the_input_and_says_where(
    inputs, monkeypatch, capsys
):
    monkeypatch.chdir(inputs)
    status, text = run(capsys, "predict", "image.tif")
    assert status == 0, text
    assert str(inputs / "image_prob.tif") in text
    assert tifffile.imread(inputs / "image_prob.tif").shape == (24, 24, 24)
    assert run(capsys, "predict", "image.tif")[0] == 2  # and never over what is there
    for name in ("image_prob.tif", "image_mip.png", "image_run.json"):
        (inputs / name).unlink()


def test_select_says_in_its_help_that_a_budget_is_required():
    said = CliRunner().invoke(app, ["select", "--help"]).output
    assert "is required" in " ".join(said.split())


def test_every_option_that_a_guess_leads_to_exists():
    commands = commands_of(typer.main.get_command(app))
    offered = [o for c in commands for p in c.params for o in p.opts]
    for _, candidates in OPTIONS:
        for candidate in candidates:
            options = re.findall(r"(?<!\S)--?[a-z][a-z-]*", candidate)
            assert set(options) <= set(offered), candidate


def test_a_guess_never_names_what_a_command_has_not():
    for command in commands_of(typer.main.get_command(app)):
        has = {o for p in command.params for o in p.opts}
        for words, _ in OPTIONS:
            for word in words.split():
                meant = guess_option(f"--{word}", command.params)
                assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", meant)) <= has, (word, meant)


def test_a_strange_word_is_not_guessed():
    assert guess_option("--xyzzy", []) == ""
    assert guess_verb("xyzzy", ["predict"]) == ""


def commands_of(command):
    inner = getattr(command, "commands", {})
    return [c for sub in inner.values() for c in commands_of(sub)] if inner else [command]


def test_a_volume_compared_with_itself_is_said(inputs, tmp_path, capsys, caplog):
    status, said = run(
        capsys, "evaluate", inputs / "prob.tif", inputs / "." / "prob.tif", "-o", tmp_path / "r"
    )
    assert status == 0, said
    assert caplog.text.count("the same file, so that every score is perfect") == 1
