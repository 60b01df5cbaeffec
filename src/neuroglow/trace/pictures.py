"""Pictures of trees: projections of the probability with the trees drawn over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroglow.pictures.colours import BRIDGE, GROUND, ORANGE, Pixels, Rgb, distinct, grey
from neuroglow.pictures.sheet import draw_sheet, image_png, three_panels
from neuroglow.pictures.stack import Stack, gather_slabs
from neuroglow.pictures.view import View
from neuroglow.skeleton.trees import SOMA, tree_length
from neuroglow.space.volume import Array
from neuroglow.trace.source import Source
from neuroglow.trace.summary import Bridge
from neuroglow.trees.swc import Tree

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["PALETTE", "draw_trees", "length_classes", "stack_of", "tree_colours"]

DIM = 0.3
"""Maximum brightness of the probability behind the trees, as a share of full brightness."""

EDGE = 2
"""Dark pixels on either side of a bridge, which keep it visible in a crowd."""

PALETTE = 360
"""Trees with a colour of their own, the longest first; the next begin again."""

CLASSES: Sequence[Rgb] = (
    (253, 231, 37), (94, 201, 98), (33, 145, 140), (72, 118, 188), (150, 90, 170)
)  # fmt: skip
"""Colours of classes of length, the longest first: viridis, its dark end lifted."""

SIDE = 640
Points = NDArray[np.float64]


def tree_colours(count: int) -> list[Rgb]:
    """Give each tree a colour; PALETTE of them are told apart."""
    palette = distinct(min(count, PALETTE)) if count else ()
    return [palette[i % len(palette)] for i in range(count)]


def length_classes(trees: Sequence[Tree], unit: str) -> tuple[list[Rgb], list[tuple[Rgb, str]]]:
    """Give each tree the colour of its class of length, and the classes with their words.

    A class is half as long as the one before it; the first begins at half of the longest.
    """
    lengths = np.array([tree_length(tree) for tree in trees])
    share = np.maximum(lengths / lengths.max(initial=1e-9), 1e-9)
    halvings = np.ceil(-np.log2(share) - 1e-9) - 1
    classes = np.clip(halvings, 0, len(CLASSES) - 1).astype(int)
    legend = []
    for k, colour in enumerate(CLASSES):
        if count := int((classes == k).sum()):
            least, most = (lengths.max() / 2 ** (k + 1), lengths.max() / 2**k)
            span = f"below {most:,.0f}" if k == len(CLASSES) - 1 else f"{least:,.0f} to {most:,.0f}"
            legend.append((colour, f"{span} {unit}: {count} tree{'s' if count > 1 else ''}"))
    return [CLASSES[k] for k in classes], legend


def draw_trees(
    trees: Sequence[Tree],
    bridges: Sequence[Bridge],
    source: Source,
    *,
    colours: Sequence[Rgb],
    legend: Sequence[tuple[Rgb, str]] = (),
) -> bytes:
    """Draw a PNG of three projections: trees in their colours, bridges white, somata as discs.

    trees, bridges: micrometres. source: whose projections lie behind them.
    """
    from PIL import Image, ImageDraw

    view = View.of(source.shape, source.unit_um if source.sized else None, side=SIDE)
    size, shown = np.asarray(source.unit_um), {}
    for axis, name in enumerate("zyx"):
        panel = Image.fromarray(view.enlarge(_backdrop(source.projections[name]), axis))
        plane = _Plane(ImageDraw.Draw(panel), view, axis)
        for tree, colour in zip(trees, colours, strict=True):
            plane.draw_tree(tree, tree.points / size, colour)
        for ink, wider in ((GROUND, 2 * EDGE), (BRIDGE, 0)):
            for bridge in bridges:
                plane.draw_line(bridge.line / size, ink, wider)
        shown[name] = np.asarray(panel)
    keys = [*legend, (BRIDGE, f"bridges: {len(bridges)}")]
    note = f"{len(trees)} trees over the probability, in grey"
    return image_png(draw_sheet([three_panels(view, shown, "trees")], legend=keys, note=note))


def stack_of(
    trees: Sequence[Tree], source: Source, threshold: float, colours: Sequence[Rgb], block: int
) -> Stack:
    """Make the stack: the probability in slabs, with those pieces of trees that lie in them."""
    images = {"score": source.read}
    if source.units is not None:
        images["grey"] = source.units.volume.read
    size = source.unit_um if source.sized else None
    found = gather_slabs(source.shape, size, images, block)
    edges = _edges(trees, colours, np.asarray(source.unit_um), found.view)
    lines = [_drawn(edges, found.view, span) for span in found.planes]
    keys = {"probability": ORANGE}
    return found.stack(threshold=threshold, over="detections and trees", keys=keys, lines=lines)


def _edges(
    trees: Sequence[Tree], colours: Sequence[Rgb], scale: Points, view: View
) -> tuple[Points, Points, NDArray[np.uint8]]:
    """List all edges: the planes of both ends (n, 2), their pixels x y x y (n, 4), colours."""
    depths, pixels, inks = [np.empty((0, 2))], [np.empty((0, 4))], [np.empty((0, 3), np.uint8)]
    for tree, colour in zip(trees, colours, strict=True):
        has = np.flatnonzero(tree.parents >= 0)
        ends = np.stack([tree.parents[has], has], axis=1)
        points = tree.points / scale
        depths.append(np.rint(points[:, 0])[ends])
        pixels.append(view.place(points, 0)[:, ::-1][ends].reshape(-1, 4))
        inks.append(np.tile(np.array(colour, np.uint8), (len(has), 1)))
    return np.concatenate(depths), np.concatenate(pixels), np.concatenate(inks)


def _drawn(
    edges: tuple[Points, Points, NDArray[np.uint8]], view: View, span: tuple[int, int]
) -> Pixels:
    """Draw the edges that reach a slab of planes (yx4)."""
    from PIL import Image, ImageDraw

    image = Image.new("RGBA", view.panel(0)[::-1], (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    depths, pixels, inks = edges
    here = (depths.min(axis=1) < span[1]) & (depths.max(axis=1) >= span[0])
    for line, ink in zip(pixels[here].tolist(), inks[here].tolist(), strict=True):
        pen.line(line, fill=(*ink, 255))
    return np.asarray(image)


class _Plane:
    """A projection on which lines (voxels, zyx) are drawn."""

    def __init__(self, pen: ImageDraw, view: View, axis: int) -> None:
        self.pen, self.view, self.axis = pen, view, axis
        self.width = 2 if min(view.zoom) > 2 else 1

    def draw_tree(self, tree: Tree, points: Points, colour: Rgb) -> None:
        """Draw the edges of a tree, and its soma."""
        at, has = self._pixels(points), np.flatnonzero(tree.parents >= 0)
        for line in np.hstack([at[tree.parents[has]], at[has]]).tolist():
            self.pen.line(line, fill=colour, width=self.width)
        if tree.kinds[0] == SOMA:
            pixels = np.delete(
                np.asarray(self.view.zoom) / self.view.bins / self.view.size, self.axis
            )
            reach = tree.radii[0] * pixels[::-1]
            self.pen.ellipse([*(at[0] - reach), *(at[0] + reach)], outline=colour, width=2)

    def draw_line(self, line: Points, colour: Rgb, wider: int) -> None:
        """Draw one line, wider than those of trees by some pixels."""
        self.pen.line(self._pixels(line).ravel().tolist(), fill=colour, width=self.width + wider)

    def _pixels(self, points: Points) -> Points:
        return np.asarray(self.view.place(points, self.axis)[:, ::-1])


def _backdrop(image: Array) -> Pixels:
    return np.asarray(grey(image, 0.0, 1.0) * DIM, np.uint8)
