"""Make phantoms: seeded volumes of neurites whose truth is known.

morphology (curved, branching, beaded neurites of several calibres) + optics (blur,
uneven background, camera noise) + distractors -> image, label, tree. All of it synthetic.
"""

from __future__ import annotations

from neuroglow.imaging.neurites import Neurite, centreline
from neuroglow.imaging.rendering import render
from neuroglow.phantom.brain import BrainReport, phantom_brain
from neuroglow.phantom.cube import PhantomCube, make_cube, phantom_cube
from neuroglow.phantom.morphology import grow, to_tree
from neuroglow.phantom.pool import PoolReport, phantom_pool
from neuroglow.phantom.region import REGIONS, RegionSettings
from neuroglow.phantom.scene import Phantom, Scene, make_phantom, make_scene
from neuroglow.phantom.settings import BACKGROUND, IGNORE, NEURITE, PhantomSettings

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "NEURITE",
    "REGIONS",
    "BrainReport",
    "Neurite",
    "Phantom",
    "PhantomCube",
    "PhantomSettings",
    "PoolReport",
    "RegionSettings",
    "Scene",
    "centreline",
    "grow",
    "make_cube",
    "make_phantom",
    "make_scene",
    "phantom_brain",
    "phantom_cube",
    "phantom_pool",
    "render",
    "to_tree",
]
