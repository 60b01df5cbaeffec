"""The state of neuroglancer for a scene, as its JSON: layers, shaders, place, layout.

Sources are written as `neuroglow:0` (the raw image), `neuroglow:1` (the probability), and
`neuroglow:trees` (with their table), so that a saved state opens again wherever the same files are;
they are exchanged for addresses when it is opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroglow.errors import InputError
from neuroglow.view.scene import Scene, Shown

__all__ = [
    "TABLE",
    "TREES",
    "VOLUME",
    "dimensions_of",
    "exchanged",
    "read_state",
    "sources_of",
    "state_of",
]

VOLUME, TREES, TABLE = "neuroglow:{}", "neuroglow:trees", "neuroglow:table"

PANEL = 350
"""Pixels of a panel that the volume is to fill at first."""

GAIN = -3
"""Of the probability in 3D: trees are seen through it."""

RAW_SHADER = """#uicontrol invlerp contrast
void main() {
  emitGrayscale(contrast());
}
"""

PROBABILITY_SHADER = """#uicontrol float threshold slider(min=0, max=1, step=0.01)
#uicontrol bool mask checkbox(default=false)
#uicontrol vec3 colour color(default="#ff9a00")
void main() {
  float p = float(toRaw(getDataValue())) / WHOLE;
  float shown = p < threshold || p == 0.0 ? 0.0 : (mask ? 1.0 : p);
  emitRGBA(vec4(colour, shown));
}
"""
"""Below the threshold nothing is shown; with `mask`, everything else is shown alike."""

TREES_SHADER = """#uicontrol bool by_probability checkbox(default=false)
#uicontrol bool bridges checkbox(default=true)
void main() {
  if (bridges && bridge > 0.5) {
    emitRGB(vec3(1.0, 0.1, 0.1));
  } else if (by_probability) {
    emitRGB(mix(vec3(0.1, 0.2, 1.0), vec3(1.0, 0.9, 0.1), probability));
  } else {
    emitDefault();
  }
}
"""
"""Bridged gaps are red; the rest has the colour of its tree, or of its probability."""


def state_of(scene: Scene) -> dict[str, Any]:
    """Return the state in which a scene is opened."""
    z, y, x = (n / 2 + a for n, a in zip(scene.raw.volume.shape, scene.raw.at, strict=True))
    extent = max(n * s for n, s in zip(scene.raw.volume.shape, scene.size, strict=True))
    voxels = extent / min(scene.size)
    layers = [_image(shown, at, scene.threshold) for at, shown in enumerate(scene.volumes)]
    layers += [_skeletons(scene)] if scene.trees else []
    return {
        "dimensions": dimensions_of(scene),
        "position": [x, y, z],
        "crossSectionScale": voxels / PANEL,
        "projectionScale": 1.5 * voxels,
        "layers": layers,
        "layout": "4panel",
        "showSlices": False,
        "crossSectionBackgroundColor": "#000000",
        "selectedLayer": {"visible": True, "layer": layers[-1 if not scene.trees else -2]["name"]},
    }


def dimensions_of(scene: Scene) -> dict[str, list[Any]]:
    """Return the axes x, y and z with their scale and unit: metres, or none if not known."""
    if scene.voxel_size_um is None:
        return {axis: [1, ""] for axis in "xyz"}
    sizes = dict(zip("zyx", scene.voxel_size_um, strict=True))
    return {axis: [sizes[axis] * 1e-6, "m"] for axis in "xyz"}


def _image(shown: Shown, at: int, threshold: float) -> dict[str, Any]:
    """Return the layer of a volume."""
    layer = {"type": "image", "name": shown.name, "source": VOLUME.format(at), "tab": "rendering"}
    if shown.kind == "raw":
        controls: dict[str, Any] = {"contrast": {"range": _exact(shown)}}
        return layer | {"shader": RAW_SHADER, "shaderControls": controls}
    shader = PROBABILITY_SHADER.replace("WHOLE", f"{shown.levels[1]:.1f}")
    controls = {"threshold": threshold}
    drawn: dict[str, Any] = {
        "shader": shader,
        "shaderControls": controls,
        "opacity": 1,
        "volumeRendering": "on",
    }
    drawn["volumeRenderingGain"] = GAIN
    return layer | drawn


def _exact(shown: Shown) -> list[float]:
    """Return the shown levels: whole numbers where the voxels are."""
    whole = shown.volume.dtype.kind in "iu"
    return [round(v) if whole else v for v in shown.levels]


def _skeletons(scene: Scene) -> dict[str, Any]:
    """Return the layer of the trees, all of them shown."""
    return {
        "type": "segmentation",
        "name": scene.trees_name,
        "source": [TREES, TABLE],
        "segments": [str(tree.number) for tree in scene.trees],
        "skeletonRendering": {
            "shader": TREES_SHADER,
            "mode2d": "lines_and_points",
            "mode3d": "lines",
            "lineWidth3d": 2,
        },
    }


def sources_of(scene: Scene) -> list[str]:
    """Name the sources of a scene."""
    volumes = [VOLUME.format(at) for at in range(len(scene.volumes))]
    return volumes + ([TREES, TABLE] if scene.trees else [])


def exchanged(state: Any, names: Mapping[str, Any]) -> Any:
    """Return a state in which each text that is a key of `names` has become its value."""
    if isinstance(state, str):
        return names.get(state, state)
    if isinstance(state, list):
        return [exchanged(part, names) for part in state]
    if isinstance(state, dict):
        return {key: exchanged(part, names) for key, part in state.items()}
    return state


def read_state(path: Path, scene: Scene) -> dict[str, Any]:
    """Read a saved state. Raises InputError if it is none, or shows what the scene lacks."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        layers = state["layers"]
        asked = {text for layer in layers for text in _texts(layer["source"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "a state is the JSON that `neuroglow view --state` wrote",
            found=f"{type(error).__name__}: {error}"[:100],
            where=str(path),
            cure="the path of a new file",
        ) from None
    lacking = {text for text in asked if text.startswith("neuroglow:")} - {*sources_of(scene)}
    if lacking:
        raise InputError(
            "a state opens with the files that it shows",
            found="it shows trees" if TREES in lacking else "it shows a probability",
            where=str(path),
            cure="give VOLUME, PROBABILITY and TREES as when it was saved",
        )
    return dict(state)


def _texts(part: Any) -> list[str]:
    """List all texts in a part of a state."""
    if isinstance(part, str):
        return [part]
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [text for one in inner for text in _texts(one)]
