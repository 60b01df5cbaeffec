"""Random fields as functions of position and seed: any box of a field is a part of it.

A generator's stream has no position: two overlapping blocks would draw different noise. Here a
voxel's value is a hash of its position (counter-based, as in Salmon et al. 2011, with the
mixing function of SplitMix64), so a volume contains the same voxels however it is divided.
Positions are zyx, in voxels from the volume's origin; results are float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.space.geometry import Box

__all__ = ["MOST", "correlated_noise_at", "enlarge", "positions", "smooth_noise", "white_noise"]

Floats = NDArray[np.float32]
Hashes = NDArray[np.uint64]

_PRIMES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
_SPLINE_VARIANCE = 151 / 315
"""Mean over its phase of the summed squares of a cubic B-spline's weights."""

_LOW = np.uint64(0xFFFFFF)

MOST = float(np.sqrt(-2 * np.log(0.5 * 2**-24)) / _SPLINE_VARIANCE**1.5)
"""What no value of smooth noise exceeds, in its standard deviations: bits of a hash are finite."""


def positions(box: Box, axis: int) -> NDArray[np.float64]:
    """Return the positions of a box along one axis, shaped to broadcast over its zyx."""
    along = np.arange(box.start[axis], box.stop[axis], dtype=np.float64)
    return along.reshape([-1 if axis == k else 1 for k in range(3)])


def white_noise(box: Box, seed: int) -> Floats:
    """Draw Gaussian noise with mean 0 and standard deviation 1, independently for each voxel.

    Box and Muller (1958), from the two halves of a voxel's hash.
    """
    bits = _hashed(box, seed)
    radius = (bits >> np.uint64(40)).astype(np.float32)
    radius = np.sqrt(-2 * np.log((radius + np.float32(0.5)) * np.float32(2**-24)))
    angle = (bits & _LOW).astype(np.float32) * np.float32(2 * np.pi * 2**-24)
    return np.asarray(radius * np.cos(angle), np.float32)


def correlated_noise_at(box: Box, sigma_vox: Sequence[float], seed: int) -> Floats:
    """Draw white noise blurred by `sigma_vox` (zyx), of standard deviation 1."""
    reach = max(int(3 * s + 0.5) for s in sigma_vox)
    noise = white_noise(box.grow(reach), seed)
    for axis, sigma in enumerate(sigma_vox):
        if int(3 * sigma + 0.5) > 0:
            noise = ndimage.gaussian_filter1d(noise, sigma, axis, truncate=3, mode="constant")
            noise /= _gain(sigma)
    inner = slice(reach, -reach or None)
    return np.ascontiguousarray(noise[inner, inner, inner])


def smooth_noise(box: Box, scale_vox: Sequence[float], seed: int) -> Floats:
    """Draw a smooth field with mean 0 and standard deviation 1 that varies over `scale_vox` (zyx).

    Gaussian values on a grid of that spacing, interpolated by cubic B-splines. Scales that differ
    between axes make stripes and fibres.
    """
    spans, weights = [], []
    for axis, scale in enumerate(scale_vox):
        at = positions(box, axis).ravel() / scale
        first = int(np.floor(at[0])) - 1
        spans.append((first, int(np.floor(at[-1])) + 3))
        weights.append(_spline(at[:, None] - np.arange(*spans[-1])))
    (z0, z1), (y0, y1), (x0, x1) = spans
    field = white_noise(Box((z0, y0, x0), (z1, y1, x1)), seed)
    for axis, weight in enumerate(weights):
        field = _combine(field, np.asarray(weight, np.float32), axis)
    return np.asarray(field / np.float32(_SPLINE_VARIANCE**1.5), np.float32)


def enlarge(coarse: Floats, factor: int) -> Floats:
    """Enlarge an array (zyx) by linear interpolation between the middles of its voxels."""
    for axis in range(3):
        last = coarse.shape[axis] - 1
        at = np.clip((np.arange((last + 1) * factor) + 0.5) / factor - 0.5, 0, last)
        low = np.floor(at).astype(int)
        share = (at - low).astype(np.float32).reshape([-1 if axis == k else 1 for k in range(3)])
        near, far = (np.take(coarse, i, axis) for i in (low, np.minimum(low + 1, last)))
        coarse = near + share * (far - near)
    return coarse


def _combine(field: Floats, weight: Floats, axis: int) -> Floats:
    """Sum weighted nodes along an axis, in a fixed order (a BLAS guarantees none)."""
    nodes = np.moveaxis(field, axis, 0)
    total = np.zeros((weight.shape[0], *nodes.shape[1:]), np.float32)
    used = weight != 0
    first, last = used.argmax(0), len(used) - used[::-1].argmax(0)
    for k in np.flatnonzero(used.any(0)):
        window = slice(first[k], last[k])
        total[window] += weight[window, k, None, None] * nodes[k]
    return np.moveaxis(total, 0, axis)


def _spline(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic B-spline at a distance in nodes."""
    d = np.abs(distance)
    near, far = 2 / 3 - d**2 + d**3 / 2, (2 - d) ** 3 / 6
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def _gain(sigma: float) -> float:
    """Return the standard deviation of white noise after SciPy's Gaussian filter."""
    pulse = np.zeros(2 * int(3 * sigma + 0.5) + 1)
    pulse[pulse.size // 2] = 1
    kernel = ndimage.gaussian_filter1d(pulse, sigma, truncate=3, mode="constant")
    return float(np.sqrt(np.sum(kernel**2)))


def _hashed(box: Box, seed: int) -> Hashes:
    """Hash each voxel's place with the seed."""
    state = np.array(seed % 2**64, np.uint64).reshape(1, 1, 1)
    for axis, prime in enumerate(_PRIMES):
        at = np.arange(box.start[axis], box.stop[axis], dtype=np.int64).view(np.uint64)
        at = at.reshape([-1 if axis == k else 1 for k in range(3)])
        state = _mix(state + at * np.uint64(prime))
    return state


def _mix(state: Hashes) -> Hashes:
    """Mix the bits (SplitMix64, Steele et al. 2014); overflow is intended."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))
