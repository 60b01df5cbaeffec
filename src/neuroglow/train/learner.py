"""The trained objects: network, averaged weights, optimiser; one step at a time."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from neuroglow.errors import NeuroglowError, ReadError, RunError, SettingsError
from neuroglow.files.writing import appearing
from neuroglow.metrics.voxels import scores_of_counts
from neuroglow.network.build import build_network, neurite_logit
from neuroglow.network.engine import Engine, Precision
from neuroglow.network.inference import Runner, choose_device, choose_precision
from neuroglow.network.machine import Machine, choose_machine, prepare
from neuroglow.network.model_settings import Calibration, ModelSettings
from neuroglow.network.stored import StoredModel
from neuroglow.train.batches import Batch
from neuroglow.train.losses import bce_dice, db_enhance, soft_cldice, worst
from neuroglow.train.optimise import average_into, freeze_encoder, learning_rate, make_optimiser
from neuroglow.train.settings import TrainSettings
from neuroglow.train.together import Group, max_over_all, share_statistics, sum_over_all

__all__ = ["Learner", "LossError", "Step", "memory_for", "new_network", "read_state"]

CLDICE = 0.3
"""Weight of the soft clDice loss relative to BCE + Dice."""

WILD = 1e6
"""Weights from here on are of a network that diverges."""

SLACK = 1e-3
"""Margin for rounding by which a loss may leave its range."""


def new_network(
    name: str, arguments: dict[str, Any], seed: int, init: str = "default"
) -> nn.Module:
    """Build a network with random weights from the seed, without changing torch's generator.

    init: `kaiming` draws the weights of convolutions, not of transposed ones, from the normal
    distribution of He et al. 2015, as DB-Enhance does: sqrt(6) = 2.4 times as wide as PyTorch's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(name, arguments)
        if init == "kaiming":
            for module in network.modules():
                if isinstance(module, nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight)
        return network


@dataclass(frozen=True)
class Step:
    """The result of a step: the loss, the mean error of each patch (N,), Dice and recall of the
    batch at one half, and the probability in its first patch (zyx)."""

    loss: float
    errors: Tensor
    dice: float
    recall: float
    first: Tensor


class Learner:
    """A network in training, and the average of its weights, which is the saved model.

    known: the description of a saved model, without its scores.
    """

    def __init__(
        self, network: nn.Module, known: ModelSettings, settings: TrainSettings, group: Group
    ) -> None:
        stride = int(network.stride)  # type: ignore[arg-type]  # every network has one
        _check_patch(settings.patch, stride)
        self.device = choose_device(settings.device)
        self.dtype = _training_precision(settings, stride, self.device)
        self.settings, self.group, self.known = settings, group, known
        network = network.to(self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
        self.averaged = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.network = share_statistics(network) if group.size > 1 else network
        self._to_training()
        self.optimiser = make_optimiser(self.network.parameters(), settings)
        self.step = 0

    def _to_training(self) -> None:
        self.network.train()
        if self.settings.freeze_encoder:
            freeze_encoder(self.network, self.known.network)

    def learn(self, batch: Batch) -> Step:
        """Take one step.

        Raises RunError if memory is too small, LossError for a loss that is not a number or not
        in its range: nothing of the step is kept.
        """
        with memory_for(f"step {self.step + 1}, {self.device}", tuple(batch.x.shape)):
            x, target, weight = (
                part.to(self.device, non_blocking=True)
                for part in (batch.x, batch.target, batch.weight)
            )
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16
            ):
                logits = self.network(x)
            loss = self._loss(logits.float(), target, weight)
            logit = neurite_logit(logits.detach().float())
            errors = _errors(logit, target, weight)
            self._check(float(loss.detach()), batch, errors, worst(logit, target, weight))
            self._descend(loss)
        return self._step(float(loss.detach()), errors, logit, (target, weight))

    def _check(self, loss: float, batch: Batch, errors: Tensor, most: float) -> None:
        """Refuse a loss that is not a number, or outside its possible range."""
        if not (math.isfinite(loss) and bool(errors.isfinite().all())):
            raise LossError(loss, "a number", batch, ~errors.isfinite())
        most = max_over_all(most, self.device)
        if not -SLACK <= loss <= most + SLACK:
            everywhere = torch.ones_like(errors, dtype=torch.bool)
            raise LossError(loss, f"in its range, 0 to {most:.3g}", batch, everywhere)

    def _step(
        self, loss: float, errors: Tensor, logit: Tensor, truth: tuple[Tensor, Tensor]
    ) -> Step:
        target, known = truth[0] > 0.5, truth[1] > 0
        detected, true = (logit > 0) & known, target & known
        counts = torch.stack(
            [torch.count_nonzero(part) for part in (detected & true, detected, true)]
        )
        hits, found, there = sum_over_all(counts).tolist()
        scores = scores_of_counts(hits, found - hits, there - hits, 0)
        first = logit[0, 0].sigmoid()
        return Step(loss, errors, scores["dice"], scores["recall"], first)

    def _loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        total = sum_over_all
        if self.settings.loss == "db_enhance":
            return db_enhance(logits, target, weight, total=total)
        logit = neurite_logit(logits)
        loss = bce_dice(logit, target, weight, total=total)
        if self.settings.loss == "bce_dice_cldice":
            loss = loss + CLDICE * soft_cldice(logit, target, weight, total=total)
        return loss

    def _descend(self, loss: Tensor) -> None:
        self.step += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.group.average_gradients(self.network.parameters())
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimiser.step()
        average_into(self.averaged, self.network, self.settings.ema, self.step)

    def is_finite(self) -> bool:
        """Return whether all weights are finite, including the averaged ones."""
        return all(
            bool(value.isfinite().all())
            for network in (self.network, self.averaged)
            for value in network.state_dict().values()
        )

    @property
    def rate(self) -> float:
        """The learning rate of the current step."""
        return learning_rate(max(self.step, 1), self.settings, processes=self.group.size)

    def runner(
        self, network: nn.Module | None = None, calibration: Calibration | None = None
    ) -> Engine:
        """Return a network, prepared for prediction by the machine's engine.

        network: the averaged one if not given. calibration: of the probability, or none.
        """
        network, machine = network or self.averaged, self.machine
        if machine.engine == "openvino" and _is_tame(network):
            weights = {k: v.detach().contiguous() for k, v in network.state_dict().items()}
            known = self.known.model_copy(update={"calibration": calibration})
            stored = StoredModel(Path(), known, "", safetensors.torch.save(weights))
            return prepare(stored, machine, "cpu")
        copied = copy.deepcopy(network)
        ready = Runner.ready(copied, self.known.normalisation, self.device, self.dtype)
        return replace(ready, calibration=calibration)

    @property
    def machine(self) -> Machine:
        """What predicts during training: on the same device, in the same precision."""
        precision = cast(Precision, str(self.dtype).removeprefix("torch."))
        device = str(self.device)
        return choose_machine(self.known, engine="auto", device=device, precision=precision)

    def save(self, path: Path, extra: dict[str, Any]) -> None:
        """Write everything a resume needs; completely or not at all. extra: plain values."""
        state = {
            "step": self.step,
            "known": self.known.model_dump_json(),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "extra": extra,
        }
        whole = io.BytesIO()  # on a full disk, torch's own writing raises no OSError
        torch.save(state, whole)
        with appearing(path) as partial, partial.open("wb") as file, whole.getbuffer() as content:
            file.write(content)  # pathlib would hold the buffer in the traceback of an error

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the state written by `save` and read by read_state."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])


def _is_tame(network: nn.Module) -> bool:
    """Return whether the weights are so small that no product of two is infinite.

    With others PyTorch predicts: its results are then NaN, which is noticed; OpenVINO's are 0.
    """
    weights = [v for v in network.state_dict().values() if v.is_floating_point()]
    return all(bool((value.abs() < WILD).all()) for value in weights)


def read_state(path: Path) -> dict[str, Any]:
    """Read the state written by Learner.save: tensors and plain values, no pickled code runs.

    Raises ReadError for a damaged file.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged stream can raise anything
        raise ReadError(
            "the state of a run must be complete to continue it",
            found=(str(error) or type(error).__name__).splitlines()[0][:200],
            where=str(path),
            cure="checkpoints/last is a model: --from it begins a new run",
        ) from None
    return state


class LossError(Exception):
    """An invalid loss; patches: those of the batch that may have caused it.

    must: the condition that it violates. If patches have non-finite input, these are named;
    otherwise the `wrong` ones. (Batch normalisation spreads one patch's NaN to all.)
    """

    def __init__(self, loss: float, must: str, batch: Batch, wrong: Tensor) -> None:
        super().__init__(loss)
        self.loss, self.must = loss, must
        damaged = ~batch.x.isfinite().flatten(1).all(1)
        guilty = damaged if bool(damaged.any()) else wrong.cpu()
        self.patches = [i for i, is_wrong in enumerate(guilty.tolist()) if is_wrong]


def _errors(logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean cross-entropy of each patch (N,): what hard mining ranks by."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    axes = (1, 2, 3, 4)
    return (entropy * weight).sum(axes) / weight.sum(axes).clamp(min=1)


@contextmanager
def memory_for(where: str, shape: Sequence[int]) -> Iterator[None]:
    """Turn a lack of memory, of the device or of the machine, into RunError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        lacking = "memory" in str(error) or isinstance(error, MemoryError)
        if not lacking or isinstance(error, NeuroglowError):
            raise
        raise RunError(
            "a step must fit into the device's memory",
            found=f"out of memory at {'x'.join(str(n) for n in shape)} voxels",
            where=where,
            cure="a smaller --batch or --patch; the last checkpoint is unchanged",
        ) from None


def _check_patch(patch: int, stride: int) -> None:
    """Refuse a patch that the network cannot take, or that is reduced to a single voxel."""
    if patch % stride or patch < 2 * stride:
        raise SettingsError(
            f"a patch is a multiple of the network's stride, {stride} voxels, and at least twice "
            "it",
            found=str(patch),
            where="--patch",
            cure=f"--patch {max(2, round(patch / stride)) * stride}",
        )


def _training_precision(settings: TrainSettings, stride: int, device: torch.device) -> torch.dtype:
    """Resolve the precision; on a CPU, bfloat16 only if the deepest features are 3^3 or larger.

    On 2^3 voxels the gradients of convolutions in bfloat16 come from uninitialised memory
    (torch 2.13, AVX-512 bf16): another result in each run, or NaN. On 3^3 to 8^3 they do not.
    """
    dtype = choose_precision(settings.precision, device)
    if dtype != torch.bfloat16 or device.type != "cpu" or settings.patch >= 3 * stride:
        return dtype
    if settings.precision == "auto":
        return torch.float32
    raise SettingsError(
        f"on a CPU, bfloat16 needs patches of at least three strides, {3 * stride} voxels",
        found=str(settings.patch),
        where="--patch, --precision",
        cure=f"--patch {3 * stride}, or --precision float32",
    )
