"""Make phantoms: seeded volumes of neurites whose truth is known.

morphology (curved, branching, beaded neurites of several calibres) + optics (blur,
uneven background, camera noise) + distractors -> image, label, tree. All of it synthetic.
"""

from __future__ import annotations

from neuroglow.phantom.morphology import Neurite, centreline, grow, to_tree
from neuroglow.phantom.render import render
from neuroglow.phantom.scene import Phantom, Scene, make_phantom, make_scene
from neuroglow.phantom.settings import BACKGROUND, IGNORE, NEURITE, PhantomSettings

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "NEURITE",
    "Neurite",
    "Phantom",
    "PhantomSettings",
    "Scene",
    "centreline",
    "grow",
    "make_phantom",
    "make_scene",
    "render",
    "to_tree",
]
