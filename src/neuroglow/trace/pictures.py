"""Pictures of trees: projections of the probability with the trees drawn over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroglow.report import COLOURS, image_png
from neuroglow.skeleton.trees import SOMA
from neuroglow.space.geometry import Zyx
from neuroglow.space.projections import bin_size
from neuroglow.space.swc import Tree
from neuroglow.space.volume import Array
from neuroglow.trace.summary import Bridge

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["draw_trees"]

SIDE, GAP, HEAD = 640, 8, 20
GROUND, WORDS, BRIDGE = (24, 24, 27), (220, 220, 220), (255, 255, 255)
DIM = 0.4
"""Maximum brightness of the probability behind the trees, as a share of full brightness."""

EDGE = 2
"""Dark pixels on either side of a bridge, which keep it visible in a crowd."""

TREES = [colour for colour in COLOURS if colour != "#7F7F7F"]
Points = NDArray[np.float64]


def draw_trees(
    trees: Sequence[Tree],
    bridges: Sequence[Bridge],
    behind: Mapping[str, Array],
    shape: Zyx,
    unit_um: Sequence[float],
) -> bytes:
    """Draw a PNG of three projections (voxels): trees in colours, bridges white, somata as discs.

    trees, bridges: micrometres. behind: maximum projections of the probability, in bins.
    """
    from PIL import Image, ImageDraw

    bins = bin_size(shape)
    zoom = max(1, round(SIDE * bins / max(shape)))
    panels = []
    for axis, name in enumerate("zyx"):
        panel = Image.fromarray(_backdrop(behind[name], zoom))
        pen = ImageDraw.Draw(panel)
        plane = _Plane(pen, np.delete(np.asarray(unit_um), axis) * bins / zoom, axis, zoom)
        for i, tree in enumerate(trees):
            plane.draw_tree(tree, TREES[i % len(TREES)])
        for colour, wider in ((GROUND, 2 * EDGE), (BRIDGE, 0)):
            for bridge in bridges:
                plane.draw_line(bridge.line, colour, wider)
        panels.append(panel)
    wide = max(sum(p.width + GAP for p in panels) + GAP, 460)
    tall = max(p.height for p in panels)
    sheet = Image.new("RGB", (wide, tall + 2 * HEAD + GAP), GROUND)
    pen = ImageDraw.Draw(sheet)
    left = GAP
    for name, panel in zip("zyx", panels, strict=True):
        pen.text((left, 4), f"along {name}", fill=WORDS)
        sheet.paste(panel, (left, HEAD))
        left += panel.width + GAP
    said = f"trees: {len(trees)}, a colour each; bridges: {len(bridges)}, white; probability, grey"
    pen.text((GAP, tall + HEAD + 7), said, fill=WORDS)
    return image_png(np.asarray(sheet))


class _Plane:
    """A projection on which lines are drawn; pixel_um: size of a pixel along its two axes."""

    def __init__(self, pen: ImageDraw, pixel_um: Points, axis: int, zoom: int) -> None:
        self.pen, self.pixel_um, self.axis = pen, pixel_um, axis
        self.middle = zoom / 2
        self.width = 2 if zoom > 2 else 1

    def draw_tree(self, tree: Tree, colour: str) -> None:
        """Draw the edges of a tree, and its soma."""
        at = self._pixels(tree.points)
        for node, parent in enumerate(tree.parents.tolist()):
            if parent >= 0:
                self.pen.line([*at[parent], *at[node]], fill=colour, width=self.width)
        if tree.kinds[0] == SOMA:
            reach = tree.radii[0] / self.pixel_um[::-1]
            self.pen.ellipse([*(at[0] - reach), *(at[0] + reach)], outline=colour, width=2)

    def draw_line(self, line: Points, colour: tuple[int, int, int], wider: int) -> None:
        """Draw one line, wider than those of trees by some pixels."""
        way = self._pixels(line).ravel().tolist()
        self.pen.line(way, fill=colour, width=self.width + wider)

    def _pixels(self, points: Points) -> Points:
        flat = np.delete(points, self.axis, axis=1) / self.pixel_um + self.middle
        return np.asarray(flat[:, ::-1])


def _backdrop(image: Array, zoom: int) -> NDArray[np.uint8]:
    grey = (np.clip(image, 0, 1) * 255 * DIM).astype(np.uint8)
    return np.repeat(grey.repeat(zoom, 0).repeat(zoom, 1)[..., None], 3, axis=-1)
