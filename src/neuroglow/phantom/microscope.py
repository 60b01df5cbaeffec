"""One drawn microscope and its tissue: marks become an image, at any place of a volume."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neuroglow.errors import SettingsError
from neuroglow.imaging import optics
from neuroglow.imaging.fields import MOST, correlated_noise_at, positions, smooth_noise
from neuroglow.imaging.rendering import FOOT, label
from neuroglow.phantom.marks import Glow, Marks, render_marks
from neuroglow.phantom.region import RegionSettings, draw
from neuroglow.phantom.settings import BACKGROUND, IGNORE
from neuroglow.space.geometry import Box

__all__ = ["Ellipsoid", "Microscope", "Seen"]

Floats = NDArray[np.float32]

SAMPLES = 4
"""Voxels of a path whose visibility is computed without a volume."""

TISSUE_DEPTH = 100.0
"""Micrometres to which `depth_blur` refers."""

DRAWN = (
    *("density", "depth_blur", "haze", "pedestal", "shot", "texture", "stripes", "tiles"),
    *("grain", "illumination", "bleaching", "correlation", "compression", "saturation"),
)

ROUGHNESS, FADED = 5, 30.0
"""Voxels by which the surface of tissue is uneven (standard deviation), and from it to where no
tissue is left on one side, and nothing else on the other."""

_TEXTURE, _LIGHT, _STRIPES, _TILES, _EDGE, _NOISE, _GRAIN = range(1, 8)


class Ellipsoid(NamedTuple):
    """An ellipsoid along the axes: its centre and its half axes, in voxels zyx."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]

    def inside(self, z: Any, y: Any, x: Any) -> Any:
        """Return about how far places lie inside, in voxels; negative outside."""
        parts = zip((z, y, x), self.centre, self.half, strict=True)
        square = sum(np.square((at - middle) / half) for at, middle, half in parts)
        return (1 - np.sqrt(square)) * min(self.half)


class Seen(NamedTuple):
    """A piece of the volume as recorded by the camera, with its truth.

    image: uint8 or uint16 grey levels. label: BACKGROUND, NEURITE or IGNORE.
    target: SNR of neurites alone. visibility: factor by which a neurite's own SNR is multiplied
    there (illumination, haze, all noise).
    """

    image: NDArray[Any]
    label: NDArray[np.uint8]
    target: Floats
    visibility: Floats


@dataclass(frozen=True)
class Microscope:
    """The drawn values of the ranges in RegionSettings, in voxels; see there.

    stretch: size of a voxel over that of its finest axis, which is unit_um micrometres.
    edge: a plane a z + b y + c x = d beyond which there is no tissue, or None.
    body: an ellipsoid around which there is nothing but the noise of the camera, or None.
    depth: voxels along z of the whole volume. seed: of all fields.
    """

    sigma_vox: tuple[float, float, float]
    stretch: tuple[float, float, float]
    unit_um: float
    fibre_vox: tuple[float, float, float]
    grain_vox: tuple[float, float, float]
    edge: tuple[float, float, float, float] | None
    depth: int
    seed: int
    density: float
    depth_blur: float
    haze: float
    pedestal: float
    shot: float
    texture: float
    grain: float
    stripes: float
    tiles: float
    illumination: float
    bleaching: float
    correlation: float
    compression: float
    noise: float
    offset: float
    saturation: float
    bits: int
    body: Ellipsoid | None = None

    @classmethod
    def draw(cls, settings: RegionSettings, seed: int) -> Microscope:
        """Draw one from the ranges; raises SettingsError for a negative seed."""
        if seed < 0:
            raise SettingsError("a seed is a whole number, zero or more", found=str(seed))
        rng = np.random.default_rng([seed, 0])
        size = np.array(settings.voxel_size)
        blur, anisotropy = draw(rng, settings.blur), draw(rng, settings.anisotropy)
        sigma = np.maximum(np.array([blur * anisotropy, blur, blur]) / size, 0.5)
        fibres = (3.0, 3.0, 24.0) if rng.random() < 0.5 else (3.0, 24.0, 3.0)
        bits = int(rng.choice(settings.bits))
        drawn: dict[str, Any] = {name: draw(rng, getattr(settings, name)) for name in DRAWN}
        noise, offset = draw(rng, settings.noise), draw(rng, settings.offset)
        scale = {8: 1 / 64, 12: 1 / 8, 16: 1.0}[bits]
        return cls(
            sigma_vox=_three(sigma),
            stretch=_three(size / size.min()),
            unit_um=float(size.min()),
            fibre_vox=fibres,
            grain_vox=_three(np.maximum(draw(rng, settings.grain_size) / size, 1)),
            edge=_plane(rng, settings),
            depth=settings.shape[0],
            seed=int(rng.integers(2**62)),
            noise=max(1.5, noise * scale),
            offset=offset * scale,
            bits=bits,
            **drawn,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def look(self, marks: Marks, box: Box) -> Seen:
        """Render the marks that reach into a box, and take a picture of them."""
        spread, tissue = self._spread(marks), self._tissue(box)
        if not len(spread) and not tissue.any():
            return self._unlit(box)
        glow = render_marks(spread, box, np.array(self.sigma_vox), np.array(self.stretch))
        gain = self._gain(box)
        around = self._around(glow, tissue, box)
        light = np.maximum(around + (1 - self.haze) * tissue * glow.target, 0) * gain
        image = self._camera(light, self._noise(box))
        visibility = self._visibility(around, tissue, gain)
        target = glow.target * visibility
        truth = label(target, glow.extent)
        truth[(glow.ignored > FOOT) & (truth == BACKGROUND)] = IGNORE
        return Seen(image, truth, target, visibility)

    def _unlit(self, box: Box) -> Seen:
        """Take a picture of a place where nothing shines: it shows the noise of the camera."""
        nothing, truth = np.zeros(box.shape, np.float32), np.full(box.shape, BACKGROUND, np.uint8)
        return Seen(self._camera(nothing, self._noise(box)), truth, nothing, nothing)

    def visibility_at(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the visibility (see Seen) along a path of voxels (n, 3), interpolated.

        For a path without anything bright around it: no volume is rendered.
        """
        chosen = np.unique(np.linspace(0, len(places) - 1, SAMPLES).astype(int))
        boxes = [Box(_zyx(place), _zyx(place + 1)) for place in places[chosen]]
        found = []
        for box in boxes:
            tissue, gain = self._tissue(box), self._gain(box)
            own = np.float32(self.pedestal) * tissue
            found.append(float(self._visibility(own, tissue, gain).item()))
        return np.interp(np.arange(len(places)), chosen, found)

    def _visibility(self, around: Floats, tissue: Floats, gain: Floats) -> Floats:
        """Divide the remaining light of a neurite by the deviation of all noise."""
        calm = 1 - self.shot + self.shot / self.pedestal * np.maximum(around, 0) * gain
        calm = calm + (self.texture**2 + self.grain**2) * np.square(tissue * gain)
        left = (1 - self.haze) * tissue * gain
        return np.asarray(left / np.sqrt(np.maximum(calm, 0.05)), np.float32)

    def in_tissue(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points (n, 3) are on the tissue's side of its edge."""
        inside = np.ones(len(points), bool)
        if self.edge is not None:
            *normal, offset = self.edge
            inside &= points @ np.array(normal) > offset
        if self.body is not None:
            inside &= self.body.inside(*points.T) > 0
        return inside

    def dimming(self, depth: Any, radius: Any) -> Any:
        """Return the remaining share of a neurite's peak if its light is spread with depth."""
        before = min(self.sigma_vox) ** 2 + (0.6 * radius) ** 2
        return before / (before + self._extra(depth) ** 2)

    def _extra(self, depth: Any) -> Any:
        """Return the blur that is added at a depth in voxels, in finest voxels."""
        depth_um = depth * self.stretch[0] * self.unit_um
        return self.depth_blur / self.unit_um * np.clip(depth_um / TISSUE_DEPTH, 0, 3)

    def _spread(self, marks: Marks) -> Marks:
        """Widen marks with their depth, and dim them accordingly, as spread light."""
        if self.body is not None:
            marks = marks[self.body.inside(*marks[:, :3].T.astype(np.float64)) > 0]
        if self.depth_blur == 0:
            return marks
        wide = marks.copy()
        wide[:, 7] = np.sqrt(marks[:, 7] ** 2 + (self._extra(marks[:, 0]) / 0.6) ** 2)
        wide[:, 6] *= self.dimming(marks[:, 0], marks[:, 7])
        return wide

    def _around(self, glow: Glow, tissue: Floats, box: Box) -> Floats:
        """Return the light of everything but neurites, before illumination."""
        own = np.full((1, 1, 1), self.pedestal, np.float32)
        if self.texture > 0:
            own = own + np.float32(self.texture) * smooth_noise(
                box, self.fibre_vox, self.seed + _TEXTURE
            )
        if self.grain > 0:
            own = own + np.float32(self.grain) * smooth_noise(
                box, self.grain_vox, self.seed + _GRAIN
            )
        light = own * tissue + tissue * (1 - self.haze) * glow.other + self.haze * glow.haze
        return np.asarray(light, np.float32)

    def _tissue(self, box: Box) -> Floats:
        """Return the share of tissue in each voxel of a box; a single one where all are alike."""
        if self.edge is None and (alike := self._all_alike(box)) is not None:
            return np.full((1, 1, 1), alike, np.float32)
        at = [positions(box, axis) for axis in range(3)]
        inside: NDArray[np.float64] = np.array(np.inf)
        if self.edge is not None:
            *normal, offset = self.edge
            z, y, x = (n * along for n, along in zip(normal, at, strict=True))
            inside = z + y + x - offset
        if self.body is not None:
            inside = np.minimum(inside, self.body.inside(*at))
        rough = smooth_noise(box, (30.0, 30.0, 30.0), self.seed + _EDGE)
        inside = inside + ROUGHNESS * rough
        return np.asarray(1 / (1 + np.exp(np.clip(-inside, -FADED, FADED))), np.float32)

    def _all_alike(self, box: Box) -> float | None:
        """Return the share of tissue in a box that its body's surface cannot reach; else None."""
        if self.body is None:
            return 1.0
        middle = np.add(box.start, box.stop) / 2
        inside = self.body.inside(*middle)
        reach = float(np.linalg.norm(np.divide(box.shape, 2))) + ROUGHNESS * MOST + FADED
        return None if abs(inside) < reach else float(inside > 0)

    def _gain(self, box: Box) -> Floats:
        """Multiply all factors that vary the light from place to place."""
        gain = optics.illumination(box, 120.0, self.illumination, self.seed + _LIGHT)
        if self.stripes > 0:
            gain *= optics.sheet_stripes(box, 4.0, self.stripes, self.seed + _STRIPES)
        if self.tiles > 0:
            gain *= optics.tile_steps(box, 48, self.tiles, self.seed + _TILES)
        if self.bleaching > 0:
            left = 1 - self.bleaching
            gain *= optics.bleaching(positions(box, 0), self.depth / 3, floor=left)
        return gain

    def _noise(self, box: Box) -> Floats:
        wide = self.correlation
        return correlated_noise_at(box, (0.7 * wide, wide, wide), self.seed + _NOISE)

    def _camera(self, light: Floats, noise: Floats) -> NDArray[Any]:
        """Count photons, add read noise, amplify, compress, digitise."""
        share = float(np.clip(self.shot, 0.02, 1))
        photons = self.pedestal / share  # of light 1: then the tissue's noise has deviation 1
        read = np.sqrt(1 - share) * photons
        signal = optics.poisson_gaussian(light * np.float32(photons), noise, float(read)) / photons
        grey = self.offset + self.noise * np.minimum(signal, self.pedestal + self.saturation)
        if self.compression > 0:
            grey = optics.compress(grey, self.compression * self.noise)
        return optics.digitise(grey, self.bits)


def _plane(rng: Generator, settings: RegionSettings) -> tuple[float, float, float, float] | None:
    """Draw where the tissue ends, or that it does not."""
    chance, normal = rng.random(), rng.standard_normal(3)
    normal /= np.linalg.norm(normal)
    through = rng.uniform(0.15, 0.85, 3) * settings.shape
    if chance >= settings.edge:
        return None
    return (*_three(normal), float(normal @ through))


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return z, y, x


def _zyx(place: NDArray[np.int64]) -> tuple[int, int, int]:
    z, y, x = (int(n) for n in place)
    return z, y, x
