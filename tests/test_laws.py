"""The design's laws hold, and each check finds a planted breach."""

import ast
import inspect
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, get_type_hints

import numpy as np
import pytest
import typer
import yaml
from pydantic import BaseModel, ValidationError

from conftest import ROOT
from laws import SKIN, import_breaches, import_circles, imports, room_circles, style_breaches

SRC = ROOT / "src/neuroglow"
TORCH_ROOMS = {
    "batches",
    "checkpoint",
    "db_enhance",
    "glownet",
    "inference",
    "inner",
    "learner",
    "losses",
    "build",
    "optimise",
    "scripted",
    "together",
    "voxresnet",
}


def hidden_imports(src):
    """Find imports that the import law cannot see through: relative ones, and the public face."""
    found = []
    for path in sorted(src.rglob("*.py")):
        name = path.relative_to(src).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                found.append(f"{name} imports relatively")
            targets = [node.module] if isinstance(node, ast.ImportFrom) else []
            targets += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if "neuroglow" in targets and name.split("/")[0] not in SKIN:
                found.append(f"{name} imports the public face")
    return found


def torch_rooms(src):
    """Name the modules of the torch rooms that import it as soon as they are imported."""
    return {
        path.stem
        for room in ("network", "train")
        for path in (src / room).rglob("*.py")
        if any(target.split(".")[0] == "torch" and at_top for target, at_top in imports(path))
    }


def plant(folder, file, text):
    path = folder / "neuroglow" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder / "neuroglow"


def test_the_import_law_holds():
    assert len(list(SRC.rglob("*.py"))) > 10
    assert import_breaches(SRC) == []
    assert hidden_imports(SRC) == []
    assert torch_rooms(SRC) <= TORCH_ROOMS


def test_no_modules_import_each_other_in_a_circle():
    assert import_circles(SRC) == []


def test_a_planted_circle_is_found(tmp_path):
    plant(tmp_path, "a.py", "from neuroglow.b import x")
    plant(tmp_path, "b.py", "def f():\n    from neuroglow.room import c")
    src = plant(tmp_path, "room/c.py", "import neuroglow.b\nfrom neuroglow import a")
    plant(tmp_path, "d.py", "from neuroglow.a import x")  # leads to a circle, lies on none
    assert import_circles(src) == ["neuroglow.a <-> neuroglow.b <-> neuroglow.room.c"]


def test_no_module_hides_one_that_python_needs_to_start():
    """In the folder of the package, `python -m neuroglow` finds its modules before Python's."""
    own = {path.stem for path in (ROOT / "src/neuroglow").iterdir()}
    assert own & sys.stdlib_module_names <= {"trace"}  # which only its own command line uses


def test_no_rooms_import_each_other_in_a_circle():
    assert room_circles(SRC) == []


def test_a_planted_circle_of_rooms_is_found(tmp_path):
    for room in ("a", "b", "c"):
        plant(tmp_path, f"{room}/__init__.py", "")
    plant(tmp_path, "a/one.py", "from neuroglow.b.one import x")
    plant(tmp_path, "b/one.py", "from neuroglow.c import y")
    src = plant(tmp_path, "b/two.py", "def f():\n    from neuroglow.a.two import z")
    plant(tmp_path, "a/two.py", "from neuroglow.d import x")
    plant(tmp_path, "d.py", "from neuroglow.a.one import x")  # stands alone: no room
    assert room_circles(src) == ["neuroglow.a <-> neuroglow.b"]


def test_the_design_shows_every_file():
    design = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    assert missing_from(design, SRC) == []
    assert missing_from(design.replace("      masks.py ", ""), SRC) == ["imaging/masks.py"]


def missing_from(design, src):
    """List the modules that the tree of the design does not show in their room."""
    shown, room = set(), ""
    for line in (
        design.partition("    src/neuroglow/")[2].partition("**Import law**")[0].split("\n")
    ):
        name = line.split()[0] if line.split() else ""
        if line.startswith("      ") and not line.startswith("       "):
            room = name if name.endswith("/") else ""
        shown.add(room + name if name.endswith(".py") else name)
    files = [path.relative_to(src) for path in sorted(src.rglob("*.py"))]
    inner = [f for f in files if f.name != "__init__.py"]
    rooms = [f"{f.parent}/" for f in files if f.name == "__init__.py" and f.parent != Path()]
    return [name for name in [*(f.as_posix() for f in inner), *rooms] if name not in shown]


def test_the_way_of_a_voxel_is_the_one_of_the_design(monkeypatch, tmp_path):
    import traceback

    import neuroglow
    from neuroglow.formats.ome_zarr import NewOmeZarr

    ways, write = [], NewOmeZarr.write

    def spy(self, box, voxels):
        frames = [f for f in traceback.extract_stack() if "src/neuroglow" in f.filename]
        ways.append([f"{Path(f.filename).stem}.{f.name}" for f in frames])
        return write(self, box, voxels)

    monkeypatch.setattr(NewOmeZarr, "write", spy)
    noise = np.random.default_rng(1).normal(300, 20, (16, 16, 16)).astype(np.uint16)
    neuroglow.predict(noise, out=tmp_path / "p.ome.zarr", gate=False)
    design = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    told = next(line for line in design.splitlines() if line.startswith("    face.call -> "))
    assert ways[0][0] == "face.call"
    assert [way.split(".")[1] for way in ways[0]] == told.replace("face.", "").strip().split(" -> ")


def test_the_style_law_holds(monkeypatch):
    monkeypatch.chdir(SRC.parent)  # folders above the package may be named as their owner likes
    assert style_breaches(Path("neuroglow")) == []


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        ("predict.py", "from neuroglow.phantom import grow", "imports neuroglow.phantom"),
        ("phantom/cube.py", "from neuroglow.predict import x", "imports neuroglow.predict"),
        ("train/a.py", "from neuroglow.phantom.cube import x", "imports neuroglow.phantom.cube"),
        (
            "formats/tiff.py",
            "def f():\n    from neuroglow.predict import predict",
            "imports neuroglow.predict",
        ),
        ("train/losses.py", "import neuroglow.cli", "imports neuroglow.cli"),
        (
            "errors.py",
            "from neuroglow.formats.tiff import open_tiff",
            "imports neuroglow.formats.tiff",
        ),
        ("predict.py", "import torch", "imports torch"),
        ("cli/predict.py", "import torch", "imports torch"),
        ("space/volume.py", "def f():\n    import torch", "imports torch"),
        ("predict.py", "def f():\n    from dask import array", "imports dask"),
        ("predict.py", "def f():\n    import openvino", "imports openvino"),
        ("metrics/voxels.py", "import napari", "imports napari"),
        ("view/scene.py", "import neuroglancer", "imports neuroglancer"),
    ],
)
def test_a_planted_import_is_found(tmp_path, file, text, breach):
    assert any(breach in found for found in import_breaches(plant(tmp_path, file, text)))


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        ("predict.py", "from neuroglow import phantom", "imports the public face"),
        ("formats/tiff.py", "def f():\n    import neuroglow", "imports the public face"),
        ("predict.py", "from . import phantom", "imports relatively"),
        ("train/losses.py", "from ..predict import predict", "imports relatively"),
    ],
)
def test_a_planted_hidden_import_is_found(tmp_path, file, text, breach):
    assert any(breach in found for found in hidden_imports(plant(tmp_path, file, text)))


def test_a_planted_early_torch_is_found(tmp_path):
    src = plant(tmp_path, "train/metrics.py", "from torch.nn import functional")
    plant(tmp_path, "network/models.py", "def f():\n    import torch")
    assert torch_rooms(src) == {"metrics"}


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        ("utils.py", "", "says nothing"),
        ("helpers/tiff.py", "", "says nothing"),
        ("a.py", "def f():\n" + "    a\n" * 60, "over 60 lines"),
        ("a.py", "class A:\n    async def f(self):\n" + "        a\n" * 60, "over 60 lines"),
        ("a.py", "def f(a, b, c, d, /, e, *, f, g, h): ...", "over 7 parameters"),
        ("a.py", "\n" * 501, "over 500 lines"),
    ],
)
def test_a_planted_breach_of_style_is_found(tmp_path, file, text, breach):
    assert any(breach in found for found in style_breaches(plant(tmp_path, file, text)))


def test_options_of_a_public_verb_are_keyword_only(tmp_path):
    plant(tmp_path, "__init__.py", "__all__ = ['trace']")
    named = "def trace(a, *, " + ", ".join(f"o{i}=0" for i in range(70)) + "): ..."
    assert style_breaches(plant(tmp_path, "trace.py", named)) == []
    for name, text in (
        ("other.py", named.replace("trace", "f")),
        ("trace.py", "def trace(a, b, c, d, e, f, g, h): ..."),
    ):
        assert any(
            "over 7 parameters" in found for found in style_breaches(plant(tmp_path, name, text))
        )


def test_what_is_just_allowed_is_no_breach(tmp_path):
    plant(tmp_path, "a.py", "def f(a, b, c, d, e, f, g):\n" + "    a\n" * 59)
    plant(tmp_path, "cli/predict.py", "def f(a, b, c, d, e, f, g, h): ...")
    plant(tmp_path, "phantom/cube.py", "from neuroglow.phantom.scene import make_scene")
    assert import_breaches(tmp_path / "neuroglow") == []
    assert style_breaches(plant(tmp_path, "b.py", "\n" * 500)) == []


def loaded_by(code):
    """Run code in a fresh Python and give the modules that it leaves loaded."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


def test_importing_neuroglow_is_light():
    loaded = loaded_by("import neuroglow")
    assert "neuroglow" in loaded
    assert not loaded & {"torch", "dask", "zarr", "scipy", "tifffile", "PIL", "rich"}


def test_help_is_light():
    code = (
        "import sys; sys.argv = ['neuroglow', '--help']\nfrom neuroglow.cli.commands import app\n"
    )
    loaded = loaded_by(code + "try:\n    app()\nexcept SystemExit:\n    pass")
    assert "typer" in loaded
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


NOT_SETTINGS = {"mode", "on_progress", "progress"}
"""Parameters of the face that settings do not hold: the files, and how a verb is run."""

OF_THE_COMMAND_LINE = {"adapt", "resume", "restart", "retry_failed", "config", "say_every", "size"}
"""Options of the command line for `mode`, a file of settings, lines in a log, and a cubic shape."""

NOT_OF_A_POOL = {"region"}
"""A pool draws from `regions`, so that `phantom_pool` has all settings of a region but this one."""


def spelled_out():
    """Give the public verbs, and the settings that their signatures spell out."""
    import neuroglow

    verbs = {name: getattr(neuroglow, name) for name in neuroglow.__all__}
    return {n: (v, v.settings) for n, v in verbs.items() if hasattr(v, "settings")}


def face_breaches(verb, settings):
    """Compare the options of a verb's signature with its settings: names and defaults."""
    parameters = inspect.signature(verb).parameters
    fields = set(settings.model_fields) - (NOT_OF_A_POOL if "regions" in parameters else set())
    found = [
        f"{name} is no option" for name in settings.model_fields if name in fields - {*parameters}
    ]
    for name, field in settings.model_fields.items():
        default = parameters[name].default if name in parameters else field.default
        validated = getattr(settings.model_validate({name: default}), name)
        if validated != field.default:
            found.append(f"{name} is {default!r} by default, not {field.default!r}")
        if name in parameters and parameters[name].kind != inspect.Parameter.KEYWORD_ONLY:
            found.append(f"{name} is not keyword-only")
    return found


def command_breaches(command, verb, settings, *, in_file=False):
    """Compare the options of a command with those of its verb: names, and defaults in the help.

    in_file: the command may leave settings to the file of `--config`, which offers them all.
    """
    own = {name.removeprefix("no_"): p for name, p in inspect.signature(command).parameters.items()}
    face = set(inspect.signature(verb).parameters) - NOT_SETTINGS
    left = set(settings.model_fields) - set(own) if in_file and "config" in own else set()
    found = [
        f"{name} on one side alone" for name in (set(own) - OF_THE_COMMAND_LINE) ^ (face - left)
    ]
    hints = {
        n.removeprefix("no_"): h for n, h in get_type_hints(command, include_extras=True).items()
    }
    for name, default in defaults(verb, settings).items():
        if name not in own or isinstance(default, bool) or not default:
            continue
        said = re.search(r"\[(.*)\]$", hints[name].__metadata__[0].help or "")
        if said is None:
            found.append(f"{name} does not say its default")
        elif not (
            says(said[1], name, settings)
            if name in settings.model_fields
            else plainly(said[1]) == plainly(default)
        ):
            found.append(f"{name} says {said[1]!r}, not {default!r}")
    return found


def defaults(verb, settings):
    """Give the defaults of a verb's options: of its settings, and those of its signature alone."""
    parameters = inspect.signature(verb).parameters.values()
    own = {
        p.name: p.default
        for p in parameters
        if isinstance(p.default, int | tuple) and p.name not in NOT_SETTINGS
    }
    return own | {name: field.default for name, field in settings.model_fields.items()}


def plainly(value):
    return ",".join(value) if isinstance(value, tuple) else str(value)


def says(text, name, settings):
    """Tell whether a help's bracket begins with the default of a setting."""
    for words in (text, text.split(", ")[0]):
        for value in (words, words.split(","), yaml.safe_load(words)):
            with suppress(ValidationError):
                return (
                    getattr(settings.model_validate({name: value}), name)
                    == settings.model_fields[name].default
                )
    return False


def test_the_face_spells_out_all_settings_with_their_defaults():
    verbs = {"predict", "train", "trace", "evaluate", "survey", "select", "label"}
    assert verbs | {"phantom_cube", "phantom_pool", "phantom_brain"} <= set(spelled_out())
    for name, (verb, settings) in spelled_out().items():
        assert face_breaches(verb, settings) == [], name


def test_the_command_line_offers_what_the_face_offers():
    from neuroglow.cli import commands, phantom

    for name, (verb, settings) in spelled_out().items():
        made = name.startswith("phantom_")
        command = getattr(phantom if made else commands, name.removeprefix("phantom_"))
        assert command_breaches(command, verb, settings, in_file=made) == [], name


def test_a_planted_difference_of_face_and_command_line_is_found():
    class Settings(BaseModel):
        width: int = 3
        height: float = 1.5

    def verb(source, *, width: int = 3, height: float = 1.5, mode="new"): ...
    def counting(source, *, width: int = 3, height: float = 1.5, cubes: int = 9): ...
    def filed(
        source, cubes: Annotated[int | None, typer.Option(help="[8]")] = None, config=None
    ): ...
    def wrong(source, *, width: int = 4): ...

    width = Annotated[int | None, typer.Option(help="Voxels.  [3, for now]")]
    height = Annotated[float | None, typer.Option(help="Voxels.  [2]")]

    def right(
        source,
        width: width = None,
        height: Annotated[float | None, typer.Option(help="Voxels.  [1.5]")] = None,
        resume=False,
    ): ...
    def command(source, width: width = None, height: height = None, depth=None): ...

    assert face_breaches(verb, Settings) == []
    assert face_breaches(wrong, Settings) == ["height is no option", "width is 4 by default, not 3"]
    assert command_breaches(right, verb, Settings) == []
    assert command_breaches(command, verb, Settings) == [
        "depth on one side alone",
        "height says '2', not 1.5",
    ]
    assert command_breaches(filed, counting, Settings, in_file=True) == ["cubes says '8', not 9"]
    assert len(command_breaches(filed, counting, Settings)) == 3
