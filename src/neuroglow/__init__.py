"""neuroglow makes faint neurites visible in 3D light microscopy, from a cube to a whole brain."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the names that `_LATER` imports when they are first used
    from neuroglow.bench import BenchReport, BenchSettings, bench
    from neuroglow.convert import ConvertReport, ConvertSettings, convert
    from neuroglow.demo import run_demo
    from neuroglow.errors import NeuroglowError
    from neuroglow.evaluate import EvaluateReport, EvaluateSettings, evaluate
    from neuroglow.finish import finish
    from neuroglow.formats.opening import open_volume
    from neuroglow.imaging.noise_units import to_noise_units
    from neuroglow.label import LabelReport, LabelSettings, label
    from neuroglow.phantom import (
        PhantomSettings,
        make_cube,
        make_phantom,
        phantom_brain,
        phantom_cube,
        phantom_pool,
    )
    from neuroglow.predict import PredictReport, PredictSettings, predict
    from neuroglow.predict.loaded import load_model
    from neuroglow.pyramid import PyramidReport, PyramidSettings, pyramid
    from neuroglow.selecting import SelectReport, SelectSettings, select
    from neuroglow.sensitivity import SensitivityReport, SensitivitySettings, sensitivity
    from neuroglow.survey import SurveyReport, SurveySettings, survey
    from neuroglow.trace import TraceReport, TraceSettings, trace
    from neuroglow.train import TrainReport, TrainSettings, train
    from neuroglow.train.adapt import AdaptReport, AdaptSettings, adapt
    from neuroglow.trees.swc import Tree, read_swc, write_swc
    from neuroglow.view import OpenView, ViewSettings, view

    __version__: str

__all__ = [
    "AdaptReport",
    "AdaptSettings",
    "BenchReport",
    "BenchSettings",
    "ConvertReport",
    "ConvertSettings",
    "EvaluateReport",
    "EvaluateSettings",
    "LabelReport",
    "LabelSettings",
    "NeuroglowError",
    "OpenView",
    "PhantomSettings",
    "PredictReport",
    "PredictSettings",
    "PyramidReport",
    "PyramidSettings",
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
    "ViewSettings",
    "adapt",
    "bench",
    "convert",
    "evaluate",
    "finish",
    "label",
    "load_model",
    "make_cube",
    "make_phantom",
    "open_volume",
    "phantom_brain",
    "phantom_cube",
    "phantom_pool",
    "predict",
    "pyramid",
    "read_swc",
    "run_demo",
    "select",
    "sensitivity",
    "survey",
    "to_noise_units",
    "trace",
    "train",
    "view",
    "write_swc",
]

_LATER = {  # imported when first used: the first line of a command waits for none of them
    "AdaptReport": "neuroglow.train.adapt",
    "AdaptSettings": "neuroglow.train.adapt",
    "BenchReport": "neuroglow.bench",
    "BenchSettings": "neuroglow.bench",
    "ConvertReport": "neuroglow.convert",
    "ConvertSettings": "neuroglow.convert",
    "EvaluateReport": "neuroglow.evaluate",
    "EvaluateSettings": "neuroglow.evaluate",
    "LabelReport": "neuroglow.label",
    "LabelSettings": "neuroglow.label",
    "NeuroglowError": "neuroglow.errors",
    "OpenView": "neuroglow.view",
    "PhantomSettings": "neuroglow.phantom",
    "PredictReport": "neuroglow.predict",
    "PredictSettings": "neuroglow.predict",
    "PyramidReport": "neuroglow.pyramid",
    "PyramidSettings": "neuroglow.pyramid",
    "SelectReport": "neuroglow.selecting",
    "SelectSettings": "neuroglow.selecting",
    "SensitivityReport": "neuroglow.sensitivity",
    "SensitivitySettings": "neuroglow.sensitivity",
    "SurveyReport": "neuroglow.survey",
    "SurveySettings": "neuroglow.survey",
    "TraceReport": "neuroglow.trace",
    "TraceSettings": "neuroglow.trace",
    "TrainReport": "neuroglow.train",
    "TrainSettings": "neuroglow.train",
    "Tree": "neuroglow.trees.swc",
    "ViewSettings": "neuroglow.view",
    "adapt": "neuroglow.train.adapt",
    "bench": "neuroglow.bench",
    "convert": "neuroglow.convert",
    "evaluate": "neuroglow.evaluate",
    "finish": "neuroglow.finish",
    "label": "neuroglow.label",
    "load_model": "neuroglow.predict.loaded",
    "make_cube": "neuroglow.phantom",
    "make_phantom": "neuroglow.phantom",
    "open_volume": "neuroglow.formats.opening",
    "phantom_brain": "neuroglow.phantom",
    "phantom_cube": "neuroglow.phantom",
    "phantom_pool": "neuroglow.phantom",
    "predict": "neuroglow.predict",
    "pyramid": "neuroglow.pyramid",
    "read_swc": "neuroglow.trees.swc",
    "run_demo": "neuroglow.demo",
    "select": "neuroglow.selecting",
    "sensitivity": "neuroglow.sensitivity",
    "survey": "neuroglow.survey",
    "to_noise_units": "neuroglow.imaging.noise_units",
    "trace": "neuroglow.trace",
    "train": "neuroglow.train",
    "view": "neuroglow.view",
    "write_swc": "neuroglow.trees.swc",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("neuroglow")
    if name not in _LATER:
        raise AttributeError(f"module 'neuroglow' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Face(ModuleType):
    """The package, in which a verb goes before the room of its name: `neuroglow.predict(...)`.

    Python binds each room here when it has been imported, whoever imports it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _LATER.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
