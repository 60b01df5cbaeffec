"""Sample data: a synthetic cube with faint neurites, its truth as a label, and its trees."""

from __future__ import annotations

from neuroglow.phantom import make_cube
from neuroglow.space.volume import ArrayVolume
from neuroglow.view.layers import Layer, volume_layer
from neuroglow.view.scene import levels_of

__all__ = ["sample"]


def sample() -> list[Layer]:
    """Make the cube: image and label."""
    cube = make_cube({"shape": (64, 96, 96)}, seed=3)
    image, label = (ArrayVolume(v, (1.0, 1.0, 1.0)) for v in (cube.image, cube.label))
    truth = volume_layer(label, "synthetic truth", "label", (0, 1))
    truth[1]["visible"] = False
    return [volume_layer(image, "synthetic cube", "raw", levels_of(image)), truth]
