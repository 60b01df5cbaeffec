"""Orders: what a page may ask of the command line; each becomes the words of one command.

Every path is checked, and every value has a type: no text of a page becomes an option.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.cubes.manifest import TABLE, Cube
from neuroglow.errors import InputError
from neuroglow.files.names import stem_of
from neuroglow.files.outputs import output_names
from neuroglow.network.models import find_model, list_models
from neuroglow.selection.survey_table import read_survey
from neuroglow.studio.inside import Inside
from neuroglow.studio.linked import check_cubes, check_links
from neuroglow.studio.refusals import RefusedError

__all__ = ["Order", "OrderOf", "PredictOrder", "free_name"]

IN, OUT, MODEL = "path read", "path written", "model used"
"""Roles of fields: a path that is read, a path that is written, a model."""

Source = Annotated[str, Field(min_length=1, max_length=2000), IN]
Output = Annotated[str, Field(min_length=1, max_length=2000), OUT]
Model = Annotated[str, Field(min_length=1, max_length=2000), MODEL]
Share = Annotated[float, Field(ge=0, le=1)]
Threshold = Annotated[float, Field(gt=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Index = Annotated[int, Field(ge=0, le=10_000)]
Seed = Annotated[int, Field(ge=0, le=2**31)]
Size = tuple[Positive, Positive, Positive]
Box = Annotated[str, Field(pattern=r"^\d{1,9}:\d{1,9}(,\d{1,9}:\d{1,9}){2}$")]
Offset = tuple[int, int, int]
Legend = Annotated[str, Field(pattern=r"^[0-9a-z=,. -]{1,200}$")]
Memory = Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,3})? ?[kMGT]i?B$")]
SwcUnit = Literal["um", "nm", "voxel"]


class Order(BaseModel):
    """One command: its verb, its files, its options; a field that is not given is left out."""

    model_config = ConfigDict(extra="forbid")
    places: ClassVar[tuple[str, ...]]
    """Fields that stand on the command line without a name."""
    measured: ClassVar[tuple[str, ...]] = ()
    """Fields with the volumes whose voxel size the option --voxel-size states."""
    resumes: ClassVar[bool] = False
    """Whether the verb has --resume, and begins anew where there is nothing to resume."""
    ending: ClassVar[str]
    """What is appended to the name of the input for an output without a name."""

    def words(self, inside: Inside) -> list[str]:
        """Return the command. Raises RefusedError for a path or a model that may not be used."""
        words: list[str] = []
        unnamed = [str(self.verb)]  # type: ignore[attr-defined]  # every order has one
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is None or name == "verb":
                continue
            role = _role([*field.metadata, field.annotation])
            texts = [_checked(inside, role, v) for v in _texts(value)]
            if name in self.places:
                unnamed += texts
            else:
                words += _option(name, value, texts)
        return [*unnamed, *words]

    def output(self, inside: Inside) -> str:
        """Return the path of the output: as given, or a new one next to the first input."""
        given = getattr(self, "out", None)
        return given or free_name(inside, str(self.first), self.ending)

    def outputs(self, inside: Inside) -> list[str]:
        """Return all paths that are written; what is there is not overwritten."""
        return [self.output(inside)]

    def volumes(self) -> list[str]:
        """List the volumes whose voxel size the order may state."""
        values = [value for name in self.measured if (value := getattr(self, name))]
        return [path for value in values for path in _texts(value)]

    @property
    def first(self) -> str:
        """The first input."""
        value = getattr(self, self.places[0])
        return str(value[0] if isinstance(value, list) else value)


class PredictOrder(Order):
    """Predict probabilities."""

    places: ClassVar = ("inputs",)
    measured: ClassVar = ("inputs",)
    resumes: ClassVar = True
    ending: ClassVar = "_prob.ome.zarr"
    verb: Literal["predict"]
    inputs: Annotated[list[Source], Field(min_length=1, max_length=1000), IN]
    out: Output | None = None
    model: Model | None = None
    roi: Box | None = None
    voxel_size: Size | None = None
    channel: Index | None = None
    time: Index | None = None
    invert: bool | None = None
    engine: Literal["auto", "torch", "openvino"] | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] | None = None
    precision: Literal["auto", "float32", "bfloat16", "int8"] | None = None
    dtype: Literal["uint8", "float32"] | None = None
    threshold: Threshold | None = None
    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    max_memory: Memory | None = None
    no_gate: bool | None = None
    views: Literal[1, 2, 4, 8] | None = None

    def output(self, inside: Inside) -> str:
        """Return the path of the output; of several volumes their folder, by default their own."""
        if len(self.inputs) == 1:
            return super().output(inside)
        folder = inside.place(self.first).parent
        return inside.relative(folder) if self.out is None else self.out

    def outputs(self, inside: Inside) -> list[str]:
        """Return what is written: of several volumes one output each."""
        if len(self.inputs) == 1:
            return super().outputs(inside)
        names = output_names([inside.source(one) for one in self.inputs])
        folder = inside.place(self.output(inside))
        return [inside.relative(folder / f"{name}_prob.tif") for name in names]

    def words(self, inside: Inside) -> list[str]:
        """Return the command; several volumes may have the studio's folder as output."""
        if len(self.inputs) == 1:
            return super().words(inside)
        folder = inside.relative(inside.place(self.output(inside)))
        words = Order.words(self.model_copy(update={"out": None}), inside)
        return [*words, f"--out={folder or '.'}"]


class TraceOrder(Order):
    """Trace a probability."""

    places: ClassVar = ("probability",)
    measured: ClassVar = ("probability",)
    resumes: ClassVar = True
    ending: ClassVar = ".swc"
    verb: Literal["trace"]
    probability: Source
    out: Output | None = None
    raw: Source | None = None
    threshold: Threshold | None = None
    low: Threshold | None = None
    voxel_size: Size | None = None
    spur_um: Annotated[float, Field(ge=0, le=1e6)] | None = None
    crossing_angle: Annotated[float, Field(ge=0, lt=90)] | None = None
    gap_um: Annotated[float, Field(ge=0, le=1e6)] | None = None
    gap_angle: Annotated[float, Field(gt=0, le=90)] | None = None
    gap_probability: Share | None = None
    soma_um: Annotated[float, Field(ge=0, le=1e6)] | None = None
    min_length_um: Annotated[float, Field(ge=0, le=1e6)] | None = None
    step_um: Positive | None = None
    unit: Literal["um", "voxel"] | None = None


class TrainOrder(Order):
    """Train a network, or adapt one."""

    places: ClassVar = ("manifest",)
    ending: ClassVar = "_run"
    verb: Literal["train"]
    manifest: Source
    out: Output | None = None
    recipe: Literal["neuroglow", "db-enhance"] | None = None
    steps: Count | None = None
    batch: Annotated[int, Field(ge=1, le=1024)] | None = None
    patch: Annotated[int, Field(ge=8, le=512)] | None = None
    seed: Seed | None = None
    checkpoint_every: Count | None = None
    patience: Index | None = None
    val_fraction: Part | None = None
    label_map: Legend | None = None
    swc_unit: SwcUnit | None = None
    channel: Index | None = None
    invert: bool | None = None
    voxel_size: Size | None = None
    from_model: Model | None = None
    freeze_encoder: bool | None = None
    learning_rate: Positive | None = None
    widths: Annotated[list[Annotated[int, Field(ge=1, le=512)]], Field(max_length=6)] | None = None
    loaders: Annotated[int, Field(ge=1, le=64)] | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] | None = None
    adapt: bool | None = None


class SurveyOrder(Order):
    """Measure every cube of a pool or volume."""

    places: ClassVar = ("source",)
    resumes: ClassVar = True
    ending: ClassVar = "_survey.csv"
    verb: Literal["survey"]
    source: Source
    out: Output | None = None
    cube: Annotated[int, Field(ge=16, le=1024)] | None = None
    roi: Box | None = None
    no_labels: bool | None = None
    label_map: Legend | None = None
    channel: Index | None = None
    invert: bool | None = None
    model: Model | None = None
    seed: Seed | None = None
    workers: Annotated[int, Field(ge=1, le=64)] | None = None


class SelectOrder(Order):
    """Choose cubes of a survey."""

    places: ClassVar = ("survey",)
    ending: ClassVar = "_selection.csv"
    verb: Literal["select"]
    survey: Source
    out: Output | None = None
    n: Count | None = None
    at_most: bool | None = None
    rule: Literal["dhpr", "random", "foreground-random", "diverse", "entropy"] | None = None
    stratify: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,60}$")] | None = None
    exclude: Annotated[list[Source], Field(max_length=100), IN] | None = None
    val_fraction: Part | None = None
    test_fraction: Part | None = None
    seed: Seed | None = None
    export: Output | None = None


class EvaluateOrder(Order):
    """Score a prediction against a truth."""

    places: ClassVar = ("prediction", "truth")
    measured: ClassVar = ("prediction", "truth", "raw")
    resumes: ClassVar = True
    ending: ClassVar = "_report"
    verb: Literal["evaluate"]
    prediction: Source
    truth: Source
    out: Output | None = None
    raw: Source | None = None
    threshold: Threshold | None = None
    label_map: Legend | None = None
    prediction_map: Legend | None = None
    voxel_size: Size | None = None
    swc_unit: SwcUnit | None = None
    offset: Offset | None = None
    trace: bool | None = None


class LabelOrder(Order):
    """Draw traced trees as a label."""

    places: ClassVar = ("trees",)
    measured: ClassVar = ("like",)
    resumes: ClassVar = True
    ending: ClassVar = "_label.ome.zarr"
    verb: Literal["label"]
    trees: Source
    like: Source
    out: Output | None = None
    swc_unit: SwcUnit | None = None
    offset: Offset | None = None
    radius_um: Positive | None = None
    margin_vox: Annotated[float, Field(ge=0, le=100)] | None = None
    ids: bool | None = None
    voxel_size: Size | None = None
    channel: Index | None = None
    time: Index | None = None


OrderOf = Annotated[
    PredictOrder | TraceOrder | TrainOrder | SurveyOrder | SelectOrder | EvaluateOrder | LabelOrder,
    Field(discriminator="verb"),
]

TABLES = (".csv", ".parquet")
"""Endings of tables of cubes."""

FLAGS = {"from_model": "--from", "n": "-n"}
"""Names of options that are not those of their fields."""


def _role(parts: Sequence[Any]) -> str | None:
    """Find the role of a field in its annotation, however deep it stands there."""
    for part in parts:
        if isinstance(part, str) and part in (IN, OUT, MODEL):
            return part
        inner = [*get_args(part), *getattr(part, "__metadata__", ())]
        if found := _role([one for one in inner if one is not part]):
            return found
    return None


def _option(name: str, value: Any, texts: list[str]) -> Iterator[str]:
    """Return an option with its value: in one word, so that no value is read as an option."""
    flag = FLAGS.get(name, "--" + name.replace("_", "-"))
    if isinstance(value, bool):
        yield from [flag] if value else []
    elif name == "exclude":
        yield from (f"{flag}={text}" for text in texts)
    elif flag.startswith("--"):
        yield f"{flag}={','.join(texts)}"
    else:
        yield from (flag, *texts)


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [text for part in value for text in _texts(part)]
    return [f"{value:.12g}" if isinstance(value, float) else str(value)]


def _checked(inside: Inside, role: str | None, text: str) -> str:
    if role == IN:
        return _input(inside, text)
    if role == OUT:
        return _output(inside, text)
    return _model(inside, text) if role == MODEL else text


def _input(inside: Inside, relative: str) -> str:
    path, dataset = inside.find(relative), relative.partition("::")[2]
    if path != inside.root:
        check_links(inside, path, relative, whole=True)
        check_cubes(inside, _cubes(path))
    plain = inside.relative(path) or "."
    plain = f"./{plain}" if plain.startswith("-") else plain  # or it would be read as an option
    return f"{plain}::{dataset}" if dataset else plain


def _cubes(path: Path) -> list[Cube]:
    """List the cubes of a table, or of a folder with one; none of anything else."""
    if path.suffix.lower() not in TABLES and not (path / TABLE).is_file():
        return []
    try:
        return read_survey(path)
    except InputError:  # the command will say why it cannot be read
        return []


def _output(inside: Inside, relative: str) -> str:
    path = inside.place(relative)
    if path == inside.root or "::" in relative:
        raise RefusedError(400, "an output has a name in the folder", where=relative)
    return inside.relative(path)


def _model(inside: Inside, name: str) -> str:
    """Check a model: a known name, or a folder in the studio's with safetensors."""
    if name in {entry.name for entry in list_models()}:
        return name
    path = inside.find(name)
    folder = find_model(path)
    inside.check(folder, name)
    check_links(inside, folder, name)
    return f"./{inside.relative(path)}"


def free_name(inside: Inside, first: str, ending: str) -> str:
    """Return a path next to an input at which there is nothing yet, finished or not."""
    place = inside.place(first)
    stem = stem_of(place).removesuffix("_prob") if ending == ".swc" else stem_of(place)
    folder = place.parent if place != inside.root else place
    name, _, suffix = ending.partition(".")
    for number in range(1, 10_000):
        count = "" if number == 1 else f"_{number}"
        path: Path = folder / f"{stem}{name}{count}{'.' if suffix else ''}{suffix}"
        if not path.exists() and not path.with_name(path.name + ".partial").exists():
            return inside.relative(path)
    raise RefusedError(409, "an output needs a name that is free", where=first)
