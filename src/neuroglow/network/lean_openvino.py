"""OpenVINO without its converter of models, which takes long to import."""

from __future__ import annotations

import sys
from typing import Any

CONVERTER = "openvino.tools.ovc"

__all__ = ["openvino"]


def _import_lean() -> Any:
    """Import OpenVINO; its converter follows when somebody asks for `openvino.convert_model`."""
    if "openvino" in sys.modules or CONVERTER in sys.modules:
        import openvino

        return openvino
    sys.modules[CONVERTER] = None  # type: ignore[assignment]  # an import of it then fails
    try:
        import openvino
    finally:
        del sys.modules[CONVERTER]
    openvino.__getattr__ = _converter
    return openvino


def _converter(name: str) -> Any:
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


openvino = _import_lean()
