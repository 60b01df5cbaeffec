"""All settings of a training run, besides the training set; flat, frozen, saved in the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from neuroglow.cubes.manifest import LabelFormat
from neuroglow.errors import SettingsError
from neuroglow.network import db_enhance_facts
from neuroglow.network.model_settings import FixedInput, NoiseUnitsInput
from neuroglow.settings import check_settings
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.drawn_trees import MARGIN_VOX
from neuroglow.trees.swc_unit import SwcUnit

__all__ = ["TrainSettings"]

HALO = {"glow": 32, "voxresnet": 24}
LEARNING_RATE = {"adamw": 2e-3, "sgd": db_enhance_facts.LEARNING_RATE}
FURTHER_RATE = {"adamw": 2e-4, "sgd": 1e-3}
"""For a model that is trained further: a larger rate damages it first (benchmarks/further.py)."""

WEIGHT_DECAY = {"adamw": 1e-3, "sgd": db_enhance_facts.WEIGHT_DECAY}
"""AdamW's as in recipes/; SGD's are DB-Enhance's."""

Turns = Literal["equal", "all", "none"]


class TrainSettings(BaseModel):
    """How a network is trained.

    recipe: `db-enhance` is DB-Enhance's original training (network/db_enhance_facts.py); other
        settings that are given override it.
    network, widths, blocks: the network; `from_model` brings its own. init: initial
        weights: PyTorch's, or `kaiming`, DB-Enhance's normal ones.
    batch: patches per step and process. patch: voxels per axis. normalisation: of the input.
    checkpoint_every: steps between checkpoints; each is validated. keep: `best` and last of
        them, or `all`, each as a model. patience: validations
        without improvement after which it stops; 0 never. val_fraction: of the cubes, if
        the training set marks none.
    label_map: VALUE=background|neurite|ignore, separated by commas. swc_unit: of SWC labels,
        um, voxel or nm. swc_radius_um: instead of their radii. swc_margin_vox: width of the
        ignored margin around them. channel: of images with several. invert: neurites are darker
        than the background.
    sampling: choice of patches. augment: db_enhance's six, with `full` the optics, with
        `microscope` more of them, and with `field` the processing of files.
    turns: quarter turns in planes of `equal` voxel size, in `all`, in `none`. voxel_size:
        micrometres along z, y, x; overrides the images' own.
    momentum: SGD's. weight_decay: 0.001 with AdamW, 0.0003 with SGD. halve_every: patches after
        which SGD's learning rate is multiplied by decay_factor. ema: share of the averaged
        weights kept per step. clip: largest norm of the gradient; `none` does not limit it.
    loaders: threads that make patches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: Literal["neuroglow", "db-enhance"] = "neuroglow"
    network: Literal["glow", "voxresnet"] = "glow"
    widths: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    from_model: str | None = None
    freeze_encoder: bool = False
    init: Literal["default", "kaiming"] = "default"
    normalisation: Literal["noise_units", "db_enhance"] = "noise_units"
    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=4, ge=1)
    patch: int = Field(default=64, ge=8)
    seed: int = Field(default=1, ge=0)
    checkpoint_every: int = Field(default=250, ge=1)
    keep: Literal["best", "all"] = "best"
    patience: int = Field(default=0, ge=0)
    val_fraction: float = Field(default=0.2, ge=0, lt=1)
    label_map: str = ""
    swc_unit: SwcUnit | None = None
    channel: int | None = Field(default=None, ge=0)
    invert: bool = False
    swc_radius_um: float | None = Field(default=None, gt=0)
    swc_margin_vox: float = Field(default=MARGIN_VOX, ge=0)
    sampling: Literal["foreground", "db_enhance", "uniform", "hard", "listed"] = "foreground"
    augment: Literal["full", "field", "microscope", "db_enhance", "none"] = "full"
    turns: Turns = "equal"
    voxel_size: tuple[float, float, float] | None = None
    loss: Literal["bce_dice", "db_enhance", "bce_dice_cldice"] = "bce_dice"
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float | None = Field(default=None, gt=0, le=1e30)  # float32 ends soon after
    momentum: float = Field(default=db_enhance_facts.MOMENTUM, ge=0, lt=1)
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    halve_every: int = Field(default=db_enhance_facts.EPOCH_PATCHES, ge=1)
    decay_factor: float = Field(default=db_enhance_facts.DECAY_FACTOR, gt=0, le=1)
    ema: float = Field(default=0.995, ge=0, lt=1)
    clip: float | None = Field(default=1.0, gt=0)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    halo: int | None = Field(default=None, ge=0, le=256)
    loaders: int = Field(default=2, ge=1)
    tensorboard: bool = False

    @field_validator("clip", mode="before")
    @classmethod
    def _no_clipping(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("voxel_size")
    @classmethod
    def _some_size(cls, size: VoxelSize | None) -> VoxelSize | None:
        if size and min(size) <= 0:
            raise ValueError("a voxel is larger than 0 along each axis")
        return size

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TrainSettings:
        """Check given values; raises SettingsError that names the first invalid one."""
        given = set(values)
        if values.get("recipe") == "db-enhance":
            values = {**_recipe_for(values), **values}
        chosen = check_settings(cls, values)
        own = {"network", "widths", "blocks", "normalisation", "init"} & given
        if chosen.from_model and own:
            raise SettingsError(
                "a model that is trained further brings its own network and normalisation",
                found=f"--from together with {', '.join(sorted(own))}",
                cure="leave them out, or train from scratch without --from",
            )
        if chosen.network != "glow" and (chosen.widths or chosen.blocks):
            raise SettingsError(
                "widths and blocks belong to the network glow", found=chosen.network
            )
        idle = sorted({"momentum", "halve_every", "decay_factor"} & given)
        if idle and chosen.optimiser != "sgd":
            raise SettingsError(
                f"{', '.join(idle)} belong to the optimiser sgd",
                found=f"optimiser: {chosen.optimiser}",
                cure="optimiser: sgd, or leave them out",
            )
        if chosen.normalisation == "db_enhance" and given & {"augment"}:
            chosen.refuse_optics()
        if chosen.freeze_encoder and not chosen.from_model:
            raise SettingsError(
                "only a trained encoder can be frozen",
                found="freeze_encoder without a model to start from",
                cure="--from MODEL",
            )
        return chosen

    def refuse_optics(self) -> None:
        """Refuse augmentation by optics if the input is not in noise units: SettingsError."""
        if self.augment not in ("db_enhance", "none"):
            raise SettingsError(
                "the optics of a microscope need noise units",
                found=f"augment: {self.augment} with normalisation: {self.normalisation}",
                cure="augment: db_enhance, or normalisation: noise_units",
            )

    def refuse_others(self, given: Mapping[str, Any]) -> None:
        """Refuse values that differ from those of the run that is resumed: SettingsError."""
        asked = check_settings(TrainSettings, given)  # a recipe's own values are not asked again
        for name in sorted(asked.model_fields_set):
            before, now = getattr(self, name), getattr(asked, name)
            if before != now:
                raise SettingsError(
                    "a run is resumed with its own settings",
                    found=f"{name} {now!r}, begun with {before!r}",
                    cure="leave it out, or begin a new run with another -o",
                )

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the network."""
        given = {"widths": self.widths, "blocks": self.blocks}
        if self.widths and not self.blocks:
            given["blocks"] = (1,) * len(self.widths)
        return {name: list(value) for name, value in given.items() if value}

    @property
    def input(self) -> NoiseUnitsInput | FixedInput:
        """The normalisation of the input."""
        return NoiseUnitsInput() if self.normalisation == "noise_units" else db_enhance_facts.INPUT

    @property
    def label_format(self) -> LabelFormat:
        """How the labels are read."""
        return LabelFormat(self.label_map, self.swc_unit, self.swc_radius_um, self.swc_margin_vox)

    @property
    def peak_rate(self) -> float:
        """The largest learning rate."""
        usual = FURTHER_RATE if self.from_model else LEARNING_RATE
        return self.learning_rate or usual[self.optimiser]

    @property
    def decay(self) -> float:
        """The weight decay."""
        return WEIGHT_DECAY[self.optimiser] if self.weight_decay is None else self.weight_decay


def _recipe_for(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return DB-Enhance's settings; a model that is trained further brings some of its own."""
    brought = {"network", "normalisation", "init"} if values.get("from_model") else set()
    return {k: v for k, v in db_enhance_facts.RECIPE.items() if k not in brought}
