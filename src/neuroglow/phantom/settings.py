"""Settings of a phantom of make_phantom, and the values of a label."""

from __future__ import annotations

from dataclasses import dataclass

from neuroglow.errors import SettingsError
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE
from neuroglow.space.geometry import Zyx

__all__ = ["BACKGROUND", "IGNORE", "NEURITE", "PhantomSettings"]


@dataclass(frozen=True)
class PhantomSettings:
    """Properties of a phantom; a pair is a range from which each phantom or neurite draws.

    shape: zyx voxels.
    neurites: number without their branches.
    snr: peak of a blurred neurite over the standard deviation of the noise (log-uniform).
    radius_vox: calibre before blur.
    tortuosity: standard deviation of the turn, radians per voxel.
    branches: expected number per neurite.
    blur_vox: standard deviation of the blur in y and x.
    anisotropy: blur along z over blur in plane.
    correlation_vox: standard deviation of the blur of the noise.
    unevenness: standard deviation of the background's slow changes, in SNR.
    distractors: expected number of each kind (puncta, somata, tracts, stripes).
    """

    shape: Zyx = (96, 96, 96)
    neurites: tuple[int, int] = (2, 30)
    snr: tuple[float, float] = (1.5, 40.0)
    radius_vox: tuple[float, float] = (0.3, 3.0)
    tortuosity: tuple[float, float] = (0.02, 0.12)
    branches: float = 0.4
    blur_vox: tuple[float, float] = (0.6, 1.6)
    anisotropy: tuple[float, float] = (1.0, 2.0)
    correlation_vox: tuple[float, float] = (0.0, 1.0)
    unevenness: tuple[float, float] = (0.0, 3.0)
    distractors: tuple[float, float, float, float] = (12.0, 0.4, 0.3, 0.2)

    def __post_init__(self) -> None:
        if min(self.shape) < 8 or self.snr[0] <= 0 or self.neurites[0] < 0:
            raise SettingsError(
                "a phantom has at least 8 voxels per axis, a positive SNR, no negative counts",
                found=f"shape {self.shape}, snr {self.snr}, neurites {self.neurites}",
            )
