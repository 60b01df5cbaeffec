"""neuroglow makes faint neurites visible in 3D light microscopy, from a cube to a whole brain."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from neuroglow.errors import NeuroglowError
from neuroglow.evaluate import EvaluateReport, EvaluateSettings, evaluate
from neuroglow.label import LabelReport, LabelSettings, label
from neuroglow.predict import PredictReport, PredictSettings, predict
from neuroglow.select import SelectReport, SelectSettings, select
from neuroglow.sensitivity import SensitivityReport, SensitivitySettings, sensitivity
from neuroglow.survey import SurveyReport, SurveySettings, survey
from neuroglow.trace import TraceReport, TraceSettings, trace
from neuroglow.train import TrainReport, TrainSettings, train

if TYPE_CHECKING:  # the names that `_LATER` imports when they are first used
    from neuroglow.demo import run_demo
    from neuroglow.imaging.noise_units import to_noise_units
    from neuroglow.phantom import (
        PhantomSettings,
        make_cube,
        make_phantom,
        phantom_brain,
        phantom_cube,
        phantom_pool,
    )
    from neuroglow.predict.loaded import load_model
    from neuroglow.space.opening import open_volume
    from neuroglow.space.swc import Tree, read_swc, write_swc
    from neuroglow.train.adapt import AdaptReport, AdaptSettings, adapt

__all__ = [
    "AdaptReport",
    "AdaptSettings",
    "EvaluateReport",
    "EvaluateSettings",
    "LabelReport",
    "LabelSettings",
    "NeuroglowError",
    "PhantomSettings",
    "PredictReport",
    "PredictSettings",
    "SelectReport",
    "SelectSettings",
    "SensitivityReport",
    "SensitivitySettings",
    "SurveyReport",
    "SurveySettings",
    "TraceReport",
    "TraceSettings",
    "TrainReport",
    "TrainSettings",
    "Tree",
    "adapt",
    "evaluate",
    "label",
    "load_model",
    "make_cube",
    "make_phantom",
    "open_volume",
    "phantom_brain",
    "phantom_cube",
    "phantom_pool",
    "predict",
    "read_swc",
    "run_demo",
    "select",
    "sensitivity",
    "survey",
    "to_noise_units",
    "trace",
    "train",
    "write_swc",
]

__version__ = version("neuroglow")

_LATER = {  # imported when first used: they bring SciPy or PyTorch
    "AdaptReport": "neuroglow.train.adapt",
    "AdaptSettings": "neuroglow.train.adapt",
    "PhantomSettings": "neuroglow.phantom",
    "Tree": "neuroglow.space.swc",
    "adapt": "neuroglow.train.adapt",
    "load_model": "neuroglow.predict.loaded",
    "make_cube": "neuroglow.phantom",
    "make_phantom": "neuroglow.phantom",
    "open_volume": "neuroglow.space.opening",
    "phantom_brain": "neuroglow.phantom",
    "phantom_cube": "neuroglow.phantom",
    "phantom_pool": "neuroglow.phantom",
    "run_demo": "neuroglow.demo",
    "read_swc": "neuroglow.space.swc",
    "to_noise_units": "neuroglow.imaging.noise_units",
    "write_swc": "neuroglow.space.swc",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'neuroglow' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
