"""Sensitivity: how faint a neurite is found in a volume, without labels, by adding neurites to it.

    a sample of blocks -> each scored unchanged, with neurites added, and without neurites
    -> recall by SNR, false rates, thresholds -> one page

The same is done in astronomy: added objects are known, so recall needs no annotation. The work
on a block, and the evaluation, are in recovery/.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuroglow.errors import SettingsError
from neuroglow.files.remarks import remark_unsized
from neuroglow.files.tables import csv_text, plain
from neuroglow.progress import Progress, Tell, say_nothing
from neuroglow.sensitivity.files import Mode, claimed, refuse_existing, write_folder
from neuroglow.sensitivity.settings import SensitivitySettings
from neuroglow.settings import as_options, check_settings
from neuroglow.space.volume import Array, Volume, VoxelSize
from neuroglow.trees.swc_unit import SwcUnit

if TYPE_CHECKING:
    from neuroglow.imaging.injection import Injection
    from neuroglow.imaging.noise_units import NoiseUnits
    from neuroglow.recovery.methods import Method
    from neuroglow.recovery.trial import Asked, Trial
    from neuroglow.trees.swc import Tree

__all__ = ["SensitivityReport", "SensitivitySettings", "sensitivity"]

NO_SIZE = (
    "The voxel size of the volume is not known: all lengths are in voxels. If the planes "
    "are farther apart than their pixels, use --voxel-size Z,Y,X, so that added neurites match the "
    "optics."
)


@dataclass(frozen=True)
class SensitivityReport:
    """The result of a trial; the files are None if none were requested.

    sentence: the result in words. limit: the SNR from which neurites are found at the requested
    false rate (0: below every SNR that was added; infinity: above every one). threshold: of the
    model, for that rate. results: all numbers, as in scores.json.
    """

    sentence: str
    limit: float
    threshold: float
    page: Path | None
    scores: Path | None
    results: Mapping[str, Any]


def sensitivity(  # noqa: PLR0913  # the options of a verb
    source: Array | str | Path,
    *,
    out: str | Path | None = None,
    model: str | Path = "light-microscopy",
    threshold: float | None = None,
    false_rate: float = 0.01,
    found: float = 0.9,
    snr: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0),
    rounds: int = 2,
    blocks: int = 8,
    block: int = 64,
    calibre_um: tuple[float, float] | None = None,
    blur_um: tuple[float, float] | None = None,
    swc: str | Path | None = None,
    swc_unit: SwcUnit | None = None,
    filters: bool = True,
    voxel_size: tuple[float, float, float] | None = None,
    channel: int | None = None,
    time: int | None = None,
    invert: bool = False,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: int = 1,
    mode: Mode = "new",
    on_progress: Tell | None = None,
) -> SensitivityReport:
    """Measure how faint a neurite is found in a volume, by adding neurites and detecting them.

    source: an array (zyx), or a file or folder that is one volume; only the blocks of the sample
        are read. out: a folder (report.html, scores.json, recall.csv, thresholds.csv).
    threshold: used instead of the model's own. false_rate: accepted share of falsely detected
        voxels. found: share of a neurite's length that counts as found. snr: of added neurites.
    rounds, blocks, block: neurites per block and SNR, number of blocks, and their side in voxels.
    calibre_um, blur_um: range of the radius, and of the blur in plane. swc: a file or folder
        of trees, whose pieces are added. filters: also test intensity, noise units and Sato's
    filter. mode: `new` refuses an existing report; `restart` replaces it.

    Raises UsageError for invalid requests, ReadError for voxels that cannot be read.

    >>> import numpy as np
    >>> noise = np.random.default_rng(1).normal(300, 20, (24, 32, 32)).astype("uint16")
    >>> report = sensitivity(noise, snr=(1.0, 12.0), rounds=1, filters=False)
    >>> report.sentence.startswith("In this volume")
    True
    """
    given = dict(locals())
    for name in ("source", "out", "mode", "on_progress"):
        del given[name]
    chosen = check_settings(SensitivitySettings, given)
    output = None if out is None else Path(out)
    if output is not None:
        refuse_existing(output, mode)
    plan = _Plan.of(source, chosen)
    with claimed(output):
        trial = plan.run(on_progress or say_nothing)
        return _finish(plan, trial, _command(source, output, chosen), output)


@dataclass(frozen=True)
class _Plan:
    """Everything a trial needs, checked before anything is computed."""

    volume: Volume
    units: NoiseUnits
    methods: tuple[Method, ...]
    asked: Asked
    settings: SensitivitySettings
    said: Mapping[str, Any]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, source: Array | str | Path, settings: SensitivitySettings) -> _Plan:
        """Open the volume, the model and the trees."""
        from neuroglow.formats.opening import open_volume
        from neuroglow.imaging.noise_units import NoiseUnits
        from neuroglow.network.enhance import settle_memory
        from neuroglow.network.machine import choose_machine, prepare
        from neuroglow.network.model_settings import refuse_inverted
        from neuroglow.network.stored import read_model
        from neuroglow.recovery.methods import ModelMethod, filter_methods

        volume = open_volume(
            source,
            channel=settings.channel,
            time=settings.time,
            voxel_size_um=settings.voxel_size,
            invert=settings.invert,
        )
        settle_memory()
        model = read_model(settings.model)
        normalisation = model.settings.normalisation
        refuse_inverted(normalisation, invert=settings.invert)
        cell = normalisation.cell if normalisation.kind == "noise_units" else 32
        units = NoiseUnits(volume, cell)
        machine = choose_machine(
            model.settings,
            engine="auto",
            device=settings.device,
            precision=settings.precision,
            int8=model.int8_by_default,
        )
        runner = prepare(model, machine, machine.devices.partition(",")[0])
        threshold = settings.threshold or model.settings.threshold
        name = model.settings.name
        methods: list[Method] = [ModelMethod(name, runner, units, threshold)]
        if settings.filters:
            methods += filter_methods(units, _range(volume))
        said = {"name": name, "sha256": model.sha256, "threshold": threshold}
        said |= {"engine": machine.engine, "precision": machine.precision}
        asked, notes = _asked(volume, settings)
        return cls(volume, units, tuple(methods), asked, settings, said, notes)

    def run(self, tell: Tell) -> Trial:
        """Draw the sample and run the trial."""
        from neuroglow.recovery.places import draw_sample
        from neuroglow.recovery.trial import run_trial

        chosen = self.settings
        sample = draw_sample(self.volume, block=chosen.block, count=chosen.blocks, seed=chosen.seed)

        def told(done: float, total: int) -> None:
            tell(Progress("adding neurites and detecting them", done, total, "blocks"))

        return run_trial(self.units, self.methods, sample, self.asked, told)


def _range(volume: Volume) -> tuple[float, float]:
    """Bound the grey levels of a real-valued volume, from its middle."""
    from neuroglow.space.geometry import Box

    if volume.dtype.kind in "iu" and volume.dtype.itemsize <= 2:
        return 0.0, 0.0
    start = tuple(max(0, n // 2 - 32) for n in volume.shape)
    box = Box.of((64, 64, 64)).shift(start).intersect(Box.of(volume.shape))
    middle = volume.read(box)
    known = middle[np.isfinite(middle)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return min(0.0, 2.0 * low), max(0.0, 2.0 * high)


def _asked(volume: Volume, settings: SensitivitySettings) -> tuple[Asked, tuple[str, ...]]:
    """Describe the trial, and its assumptions."""
    from neuroglow.imaging.injection import Injection
    from neuroglow.recovery.trial import Asked

    size = volume.voxel_size_um or (1.0, 1.0, 1.0)
    notes = [] if volume.voxel_size_um else [NO_SIZE]
    remark_unsized([] if volume.voxel_size_um else [volume.name])
    like = Injection()
    for name, field in (("calibre_um", "radius_vox"), ("blur_um", "blur_vox")):
        given: tuple[float, float] | None = getattr(settings, name)
        if given is None:
            continue
        if given[0] > given[1]:
            raise SettingsError(
                "a range is two lengths, the smaller one first",
                found=f"{given[0]:g}, {given[1]:g}",
                where=f"--{name.replace('_', '-')}",
            )
        low, high = (length / min(size) for length in given)
        like = replace(like, **{field: (low, high)})  # type: ignore[arg-type]  # both are ranges
    trees = _trees(settings, size) if settings.swc else ()
    notes.append(_about_added(like, trees, volume.voxel_size_um))
    snr = tuple(sorted(settings.snr))
    return Asked(snr, settings.rounds, like, trees, size, settings.seed), tuple(notes)


def _about_added(like: Injection, trees: tuple[Tree, ...], size: VoxelSize | None) -> str:
    unit, word = (min(size), "um") if size else (1.0, "voxels")
    low, high = (radius * unit for radius in like.radius_vox)
    course = f"pieces of {len(trees)} trees" if trees else "lines grown by rule, unbranched"
    a, b = (blur * unit for blur in like.blur_vox)
    return (
        f"Added neurites: {course}; radius {low:.2g} to {high:.2g} {word} before blur; blurred by "
        f"{a:.2g} to {b:.2g} {word} in plane (standard deviation) and {like.anisotropy[0]:g} to "
        f"{like.anisotropy[1]:g} times as much along z; half of them beaded. They have no photon "
        "noise of their own, and were added after any clipping or compression of this file."
    )


def _trees(settings: SensitivitySettings, size: tuple[float, float, float]) -> tuple[Tree, ...]:
    """Read the trees, in finest voxels, resampled to one node per voxel."""
    from neuroglow.files.remarks import remark
    from neuroglow.trees.drawn_trees import find_trees
    from neuroglow.trees.resample import resample
    from neuroglow.trees.swc import read_swc
    from neuroglow.trees.swc_unit import agreed_unit, scaled

    trees = []
    for path in find_trees(str(settings.swc)):
        read = read_swc(path)
        unit, notes = agreed_unit(read, settings.swc_unit, path.name)
        for note in notes:
            remark(note)
        tree = scaled(read, unit, size)
        fine = resample(tree, min(size))
        trees.append(replace(fine, points=fine.points / min(size)))
    return tuple(trees)


def _finish(plan: _Plan, trial: Trial, command: str, output: Path | None) -> SensitivityReport:
    """Turn a trial into numbers, and write the files."""
    from neuroglow.sensitivity.results import WANTED, results_of

    record = {
        "neuroglow": version("neuroglow"),
        "command": command,
        "volume": {"name": plan.volume.name, "shape": plan.volume.shape},
        "model": plan.said,
        "notes": plan.notes,
        "settings": plan.settings.model_dump(mode="json"),
    }
    results = {**record, **results_of(trial, plan.settings)}
    row = next(r for r in results["methods"] if r["threshold_from"] == WANTED)
    said = (results["sentence"], row["limit"], row["threshold"])
    if output is None:
        return SensitivityReport(*said, None, None, results)
    from neuroglow.sensitivity.page import make_page

    title = f"How faint a neurite is found in {Path(plan.volume.name).name}"
    volume = plan.volume
    page = make_page(title, trial, results, record, (volume.shape, volume.voxel_size_um))
    texts = {
        "report.html": page.html(),
        "scores.json": json.dumps(plain(results), indent=1),
        "recall.csv": csv_text(results["recall"]),
        "thresholds.csv": csv_text(results["thresholds"]),
    }
    write_folder(output, texts)
    return SensitivityReport(*said, output / "report.html", output / "scores.json", results)


def _command(source: Array | str | Path, output: Path | None, settings: SensitivitySettings) -> str:
    """Return the command that repeats this run."""
    name = "VOLUME" if not isinstance(source, str | Path) else str(source)
    words = ["neuroglow", "sensitivity", name, "-o", str(output or "REPORT")]
    return shlex.join([*words, *as_options(settings)])
