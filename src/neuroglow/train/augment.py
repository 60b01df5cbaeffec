"""Augmentation: DB-Enhance's six, and the optics of a microscope, in noise units.

Noise units are asinh of signal over noise; intensities are changed on the signal itself, whose
noise has deviation 1. DB-Enhance's six keep their probabilities (1/2 each). Its amplitudes
in grey levels (noise up to 10, offset up to 100, its standardisation divides by 500) are
unchanged for the fixed input; in noise units the noise grows by up to its own deviation,
and the offset is up to half of it.

`full` never changes: shipped models were trained with it. `microscope` is `full` plus
further effects of a microscope; `field` is `full`, plus the processing of files (imaging/field.py)
for half of the patches. Each set draws the same numbers whatever is added to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging import optics
from neuroglow.imaging.field import roughen
from neuroglow.imaging.noise_units import quiet_noise_units
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.network.db_enhance_facts import BRIGHTNESS, NOISE, OFFSET
from neuroglow.space.geometry import Box
from neuroglow.space.volume import VoxelSize
from neuroglow.train.settings import TrainSettings, Turns

__all__ = [
    "How",
    "augment",
    "degrade",
    "move",
    "shake",
    "tell_turns",
    "through_files",
    "turning_planes",
    "view",
]

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
How = Literal["full", "field", "microscope", "db_enhance", "none"]

NOISE_UNITS = (1.0, 0.5)
FIXED = (NOISE, OFFSET)
"""Largest added (or subtracted) noise, and offset."""

OPTICS = 0.2
"""Probability of each optical change."""

ROUGH = 0.5
"""Share of the patches of `field` that are processed as files."""

PEDESTAL = 10.0
"""Largest background over its noise; at the borders of stitched tiles it makes a step."""


def augment(
    rng: Generator,
    x: Floats,
    label: Labels,
    *,
    how: How,
    voxel_size_um: VoxelSize | None,
    in_noise_units: bool,
    turns: Turns = "equal",
) -> tuple[Floats, Labels]:
    """Change a cubic patch (zyx) and its label according to `how`; inputs are not modified."""
    if how == "none":
        return x, label
    x, label = move(rng, x, label, turning_planes(voxel_size_um, turns))
    signal = np.sinh(x) if in_noise_units else x
    if how in ("full", "field", "microscope") and in_noise_units:
        signal = view(rng, signal, voxel_size_um)
    if how == "microscope" and in_noise_units:
        signal = degrade(rng, signal, voxel_size_um)
    signal = shake(rng, signal, NOISE_UNITS if in_noise_units else FIXED)
    if how == "field" and in_noise_units and rng.random() < ROUGH:
        return through_files(rng, signal, label)
    return (np.arcsinh(signal) if in_noise_units else signal), label


def through_files(rng: Generator, signal: Floats, label: Labels) -> tuple[Floats, Labels]:
    """Store a patch as people do and read it again: noise units, and a label that ignores
    neurites that can no longer be seen.
    """
    grey, lost = roughen(rng, signal)
    return quiet_noise_units(grey), np.where(lost & (label == NEURITE), np.uint8(IGNORE), label)


def turning_planes(
    voxel_size_um: VoxelSize | None, turns: Turns = "equal"
) -> list[tuple[int, int]]:
    """Return the pairs of axes in whose plane patches are rotated.

    equal: those of equal voxel size (within 5 %); only yx if it is unknown. all: all three,
    as DB-Enhance. none: none.
    """
    pairs = [(0, 1), (0, 2), (1, 2)]
    if turns != "equal":
        return pairs if turns == "all" else []
    if voxel_size_um is None:
        return [(1, 2)]
    size = voxel_size_um
    return [(a, b) for a, b in pairs if abs(size[a] - size[b]) <= 0.05 * max(size[a], size[b])]


def tell_turns(sizes: Sequence[VoxelSize | None], settings: TrainSettings) -> str:
    """Describe in which planes patches with these voxel sizes are rotated, and why."""
    if settings.augment == "none" or settings.turns == "none":
        asked = "augment: none" if settings.augment == "none" else "turns: none"
        return f"quarter turns: none, as requested ({asked})"
    if settings.turns == "all":
        return "quarter turns: in all three planes, as requested (turns: all)"
    cases: dict[str, int] = {}
    for size in sizes:
        case = f"{_planes_of(size)}: {_why(size)}"
        cases[case] = cases.get(case, 0) + 1
    counted = (f"{text} ({n} of {len(sizes)} cubes)" for text, n in sorted(cases.items()))
    return f"quarter turns: {'; '.join(counted)}"


def _planes_of(size: VoxelSize | None) -> str:
    planes = ["zyx"[a] + "zyx"[b] for a, b in turning_planes(size)]
    if len(planes) == 3:
        return "in all three planes"
    return f"only in the plane {planes[0]}" if planes else "in no plane"


def _why(size: VoxelSize | None) -> str:
    if size is None:
        return "the voxel size is not known; give it with --voxel-size Z,Y,X"
    return f"voxels of {' x '.join(f'{s:.4g}' for s in size)} um"


def move(
    rng: Generator, x: Floats, label: Labels, planes: Sequence[tuple[int, int]]
) -> tuple[Floats, Labels]:
    """Flip along one axis, and turn by quarters in one of the planes."""
    flip, axis = rng.random() < 0.5, int(rng.integers(3))
    turn, quarters = rng.random() < 0.5, int(rng.integers(1, 4))
    if flip:
        x, label = np.flip(x, axis), np.flip(label, axis)
    if turn and planes:
        plane = planes[int(rng.integers(len(planes)))]
        x, label = np.rot90(x, quarters, plane), np.rot90(label, quarters, plane)
    return np.ascontiguousarray(x), np.ascontiguousarray(label)


def shake(rng: Generator, signal: Floats, largest: tuple[float, float]) -> Floats:
    """Add noise, subtract noise, scale the brightness, add an offset: each with probability 1/2."""
    noise, offset = largest
    for sign in (1, -1):
        if rng.random() < 0.5:
            level = np.float32(sign * noise * rng.random())
            signal = signal + level * rng.standard_normal(signal.shape, np.float32)
    if rng.random() < 0.5:
        signal = signal * np.float32(1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    if rng.random() < 0.5:
        signal = signal + np.float32(rng.uniform(-offset, offset))
    return signal


def view(rng: Generator, signal: Floats, voxel_size_um: VoxelSize | None) -> Floats:
    """Simulate another microscope: blur, haze, uneven light, stripes, saturation.

    signal: over noise (zyx). The blur has the same width along each axis in micrometres.
    """
    if rng.random() < OPTICS:
        sigma = rng.uniform(0.3, 0.8) * _relative(voxel_size_um)
        blurred: Floats = ndimage.gaussian_filter(signal, sigma, truncate=2.5)
        signal = blurred * np.float32(_noise_of(signal) / max(_noise_of(blurred), 1e-3))
    if rng.random() < OPTICS:  # scattered light: slow, and never dark
        field = optics.smooth_field(_zyx(signal), rng.uniform(24, 64), rng)
        haze: Floats = np.maximum(field, 0)
        signal = signal + np.float32(rng.uniform(0, 1)) * haze
    if rng.random() < OPTICS:
        light = 1 + np.float32(rng.uniform(0, 0.3)) * optics.smooth_field(_zyx(signal), 48, rng)
        signal = signal * np.clip(light, np.float32(0.3), np.float32(2))
    if rng.random() < OPTICS:
        signal = signal + np.float32(rng.uniform(0, 0.7)) * optics.stripes(_zyx(signal), rng)
    if rng.random() < OPTICS:
        signal = np.minimum(signal, np.float32(np.exp(rng.uniform(np.log(5), np.log(60)))))
    return signal


def degrade(rng: Generator, signal: Floats, voxel_size_um: VoxelSize | None) -> Floats:
    """Simulate bleaching, stitched tiles of unequal gain, photon noise and correlated noise.

    signal: over noise (zyx). Where light is lost the noise is unchanged, since noise units
    are measured there too.
    """
    box = Box.of(_zyx(signal)).shift(tuple(int(n) for n in rng.integers(1 << 16, size=3)))
    if rng.random() < OPTICS:
        depth = np.arange(float(len(signal)))[:: 1 if rng.random() < 0.5 else -1, None, None]
        left = optics.bleaching(depth, rng.uniform(0.7, 3) * len(signal), floor=0.1)
        noise = rng.standard_normal(signal.shape, np.float32)
        signal = left * signal + np.sqrt(np.float32(1) - left * left) * noise
    if rng.random() < OPTICS:
        tile = int(rng.integers(signal.shape[2], 4 * signal.shape[2]))
        gain = optics.tile_steps(box, tile, rng.uniform(0, 0.15), int(rng.integers(2**63)))
        signal = gain * signal + np.float32(rng.uniform(0, PEDESTAL)) * (gain - np.float32(1))
    if rng.random() < OPTICS:  # photons: the variance grows with the signal
        spread: Floats = np.sqrt(np.float32(rng.uniform(0, 0.5)) * np.maximum(signal, 0))
        signal = signal + spread * rng.standard_normal(signal.shape, np.float32)
    if rng.random() < OPTICS:
        sigma = rng.uniform(0.4, 1.2) * _relative(voxel_size_um)
        smooth = optics.correlated_noise(_zyx(signal), tuple(sigma), rng)
        signal = signal + np.float32(rng.uniform(0, 1)) * smooth
    return signal


def _relative(voxel_size_um: VoxelSize | None) -> NDArray[np.float64]:
    """Return 1 for the finest axis, less for coarser ones."""
    size = np.asarray(voxel_size_um or (1.0, 1.0, 1.0))
    return np.asarray(size.min() / size)


def _noise_of(signal: Floats) -> float:
    """Measure the noise as noise units do: the spread below the median."""
    some = signal[::2, ::2, ::2]
    middle, quarter = np.quantile(some, [0.5, 0.25])
    return float(middle - quarter)


def _zyx(signal: Floats) -> tuple[int, int, int]:
    z, y, x = signal.shape
    return z, y, x
