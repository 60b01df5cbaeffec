"""A model as one TorchScript: grey levels in, probability out, noise units included.

For programs that run TorchScript and know nothing of neuroglow. The noise units are those of
imaging/noise_units.py, but for two things: masked tissue is not recognised, and the cells begin at
the first voxel of the tensor that is given, which should therefore be a whole volume or a large
part of one.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import Tensor, nn

from neuroglow.imaging.noise_units import DEEPEST
from neuroglow.network.build import neurite_logit
from neuroglow.network.checkpoint import Model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.model_settings import Calibration, FixedInput

__all__ = ["as_script", "script_bytes"]


def as_script(model: Model) -> torch.jit.ScriptModule:
    """Return a model as a script: (1, 1, Z, Y, X) float32, grey levels to probability."""
    normalisation = model.settings.normalisation
    if isinstance(normalisation, FixedInput):
        begin: nn.Module = FixedUnits(normalisation)
    else:
        begin = LocalUnits(normalisation.cell)
    network = model.network.eval()
    if isinstance(network, GlowNet):
        network = network.fuse()
    stride = int(network.stride)  # type: ignore[arg-type]  # every network has one
    example = torch.zeros(1, 1, 4 * stride, 3 * stride, 2 * stride)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # TorchScript is old; and checks of the shape are not traced
        traced = torch.jit.trace(Logit(network), example)  # type: ignore[no-untyped-call]
        end = Probability(model.settings.calibration)
        whole: torch.jit.ScriptModule = torch.jit.script(Whole(begin, traced, end))
    return whole.eval()


def script_bytes(script: torch.jit.ScriptModule) -> bytes:
    """Return a script as the content of a file."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning):  # by torch's version
            warnings.simplefilter("ignore", kind)  # it is what bioimage.io runs
        torch.jit.save(script, content)
    return content.getvalue()


class Logit(nn.Module):
    """A network whose answer is one logit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of the neurite."""
        return neurite_logit(self.network(x))


class Probability(nn.Module):
    """The calibrated probability of a logit."""

    def __init__(self, calibration: Calibration | None) -> None:
        super().__init__()
        self.scale: float = calibration.scale if calibration else 1.0
        self.shift: float = calibration.shift if calibration else 0.0

    def forward(self, logit: Tensor) -> Tensor:
        """Return the probability."""
        return torch.sigmoid(logit * self.scale + self.shift)


class Whole(nn.Module):
    """Grey levels -> network's input -> logit -> probability."""

    def __init__(self, begin: nn.Module, network: nn.Module, end: nn.Module) -> None:
        super().__init__()
        self.begin, self.network, self.end = begin, network, end

    def forward(self, raw: Tensor) -> Tensor:
        """Map (1, 1, Z, Y, X) to a probability of the same shape."""
        x = self.begin(raw[0, 0].to(torch.float32))
        y: Tensor = self.end(self.network(x[None, None]))
        return y


class FixedUnits(nn.Module):
    """The input of a network that knows the grey levels of one camera."""

    def __init__(self, given: FixedInput) -> None:
        super().__init__()
        self.low, self.high, self.mean, self.std = given.low, given.high, given.mean, given.std

    def forward(self, raw: Tensor) -> Tensor:
        """Clip, subtract and divide."""
        return (raw.clamp(self.low, self.high) - self.mean) / self.std


class LocalUnits(nn.Module):
    """Noise units, measured on cells from the first voxel on."""

    def __init__(self, cell: int) -> None:
        super().__init__()
        self.cell = cell
        self.deepest: float = DEEPEST

    def forward(self, raw: Tensor) -> Tensor:
        """Return asinh((raw - background) / noise)."""
        shape = [raw.size(0), raw.size(1), raw.size(2)]
        counts = [self.count(n) for n in shape]
        background, noise = self.reconciled(self.measured(raw, counts))
        least = torch.ones_like(noise)
        if not bool((raw == raw.floor()).all()):  # real numbers: the resolution of float32
            least = torch.clamp(background.abs() * 1e-6, min=1e-12)
        noise = torch.maximum(noise, least)
        signal = raw - self.interpolated(background.to(torch.float32), shape, counts)
        signal = signal / self.interpolated(noise.to(torch.float32), shape, counts)
        signal = torch.where((raw == 0) & (signal < -self.deepest), torch.zeros_like(raw), signal)
        return torch.asinh(torch.clamp(signal, min=-self.deepest))

    def count(self, length: int) -> int:
        """Return the number of cells along an axis, as Python rounds: half to even."""
        whole = length // self.cell
        twice = 2 * (length - whole * self.cell)
        up = twice > self.cell or (twice == self.cell and whole % 2 == 1)
        return max(1, whole + int(up))

    def measured(self, raw: Tensor, counts: list[int]) -> Tensor:
        """Return background and noise of each cell: (2, z, y, x), float64."""
        found = torch.zeros(2, counts[0], counts[1], counts[2], dtype=torch.float64)
        n = self.cell
        for z in range(counts[0]):
            for y in range(counts[1]):
                for x in range(counts[2]):
                    part = raw[z * n :] if z == counts[0] - 1 else raw[z * n : (z + 1) * n]
                    part = part[:, y * n :] if y == counts[1] - 1 else part[:, y * n : (y + 1) * n]
                    last = x == counts[2] - 1
                    part = part[:, :, x * n :] if last else part[:, :, x * n : (x + 1) * n]
                    found[:, z, y, x] = self.levels(part.reshape(-1))
        return found

    def levels(self, voxels: Tensor) -> Tensor:
        """Measure one cell, without zeros far below everything else."""
        ordered = torch.sort(voxels.to(torch.float64))[0]
        zeros = int((ordered <= 0).sum()) if bool(ordered[0] == 0) else 0
        seen = ordered[zeros:]
        if 16 * len(seen) >= len(ordered):
            found = self.spread(seen)
            if zeros == 0 or bool(found[0] > self.deepest * found[1]):
                return found
        return self.spread(ordered)

    def spread(self, ordered: Tensor) -> Tensor:
        """Return the median, and the noise from the values below it."""
        background = ordered[len(ordered) // 2]
        below = int((ordered < background).sum())
        noise = torch.zeros_like(background)
        if below > 0:
            noise = 1.4826 * (background - ordered[below // 2])
        return torch.stack([background, noise])

    def reconciled(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Combine the noise of each cell with that of its neighbours."""
        own = found[1]
        noise = own.clone()
        for z in range(own.shape[0]):
            for y in range(own.shape[1]):
                for x in range(own.shape[2]):
                    near = own[max(0, z - 1) : z + 2, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
                    known = torch.sort(near[near > 0].reshape(-1))[0]
                    quiet = torch.zeros_like(own[0, 0, 0])
                    if len(known) > 0:
                        quiet = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
                    one = own[z, y, x]
                    if bool(one > 0):
                        quiet = torch.maximum(torch.minimum(one, quiet), one / 4)
                    noise[z, y, x] = quiet
        return found[0], noise

    def interpolated(self, values: Tensor, shape: list[int], counts: list[int]) -> Tensor:
        """Interpolate between cell centres, axis by axis."""
        for axis in range(3):
            if counts[axis] > 1:
                lower, weight = self.between(shape[axis], counts[axis])
                low, high = values.index_select(axis, lower), values.index_select(axis, lower + 1)
                sides = [1, 1, 1]
                sides[axis] = shape[axis]
                values = (high - low) * weight.reshape(sides) + low
        return values

    def between(self, length: int, count: int) -> tuple[Tensor, Tensor]:
        """Return for each voxel of an axis the cell before it, and the weight of the next one."""
        edges = torch.arange(count + 1, dtype=torch.float64) * self.cell
        edges[count] = length
        centres = (edges[:-1] + edges[1:] - 1) / 2
        at = torch.arange(length, dtype=torch.float64)
        right = torch.searchsorted(centres, at, right=True).clamp(1, count - 1)
        lower = right - 1
        weight = (at - centres[lower]) / (centres[right] - centres[lower])
        return lower, weight.clamp(0, 1).to(torch.float32)
