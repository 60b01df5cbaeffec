"""What a model runs on here: an engine, a device, a precision; chosen from what the computer has.

PyTorch runs every network everywhere. OpenVINO runs them on the CPUs on which it was measured to be
faster; then PyTorch is not even imported, which alone takes seconds. Needs no PyTorch itself.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from neuroglow.errors import SettingsError
from neuroglow.network.engine import BYTES_PER_VOXEL, PROCESS_BYTES, Bytes, Engine, Precision
from neuroglow.network.model_settings import ModelSettings
from neuroglow.network.stored import StoredModel

__all__ = [
    "AnyEngine",
    "Machine",
    "bytes_per_voxel",
    "choose_machine",
    "prepare",
    "process_bytes",
]

AnyEngine = Literal["auto", "torch", "openvino"]

MEASURED = ("x86_64", "AMD64")
"""Processors on which OpenVINO was measured, and is chosen without being asked for."""


@dataclass(frozen=True)
class Machine:
    """What a model runs on: an engine, its devices (separated by commas), a precision.

    because: why this engine was taken, in words; empty where it is the first choice.
    """

    engine: Literal["torch", "openvino"] = "torch"
    devices: str = "cpu"
    precision: str = "float32"
    because: str = ""

    @property
    def kind(self) -> str:
        """Return the devices as far as they decide the numbers: not how many there are."""
        return self.devices.split(":", maxsplit=1)[0] if "," in self.devices else self.devices

    @property
    def versions(self) -> dict[str, str]:
        """Return the version of the engine."""
        return {self.engine: version(self.engine)}


def choose_machine(
    model: ModelSettings,
    *,
    engine: AnyEngine,
    device: str,
    precision: Precision,
    int8: bool = False,
) -> Machine:
    """Choose what a model runs on: OpenVINO on CPUs where it is installed, PyTorch elsewhere.

    int8: may `auto` be the model's int8 variant? (StoredModel.int8_by_default)
    An imported model is expected to reproduce its old numbers: `auto` is float32 there.
    Raises SettingsError if the computer lacks what was asked for.
    """
    wanted: Precision = "float32" if precision == "auto" and model.imported else precision
    because = "it was asked for" if engine == "torch" else _why_not_openvino(device, wanted)
    if not because and engine == "auto" and platform.machine() not in MEASURED:
        because = f"OpenVINO was not measured on {platform.machine()}"
    if not because:
        return _with_openvino(device, wanted, int8=int8)
    if engine == "openvino" or precision == "int8":
        raise SettingsError(
            "OpenVINO runs on CPUs, in a precision that they have, where it is installed",
            found=because,
            where="--precision int8" if precision == "int8" else "--engine",
            cure="pip install openvino, or another --device or --precision, or --engine torch",
        )
    return _with_torch(device, wanted, because)


def prepare(model: StoredModel, machine: Machine, device: str) -> Engine:
    """Prepare a model for a machine, on one of its devices.

    Raises ModelError when the weights are damaged, or do not fit the network.
    """
    if machine.engine == "openvino":
        from neuroglow.network.openvino_engine import OpenVinoEngine

        return OpenVinoEngine.prepare(model, machine.precision)
    from neuroglow.network.checkpoint import build_model
    from neuroglow.network.inference import Runner

    return Runner.on(build_model(model), device, machine.precision)


def bytes_per_voxel(network: str, machine: Machine) -> Bytes:
    """Return the peak memory per voxel."""
    return BYTES_PER_VOXEL[machine.engine, network][machine.precision]


def process_bytes(machine: Machine) -> int:
    """Return the memory of a worker besides its block."""
    return PROCESS_BYTES[machine.engine]


def _why_not_openvino(device: str, precision: Precision) -> str:
    """Say what keeps OpenVINO from running; empty if nothing does."""
    if find_spec("openvino") is None:
        return "OpenVINO is not installed"
    names = {name.strip() for name in device.split(",")}
    if names - {"cpu", "auto"}:
        return f"the device is {device}"
    if "auto" in names and _may_have_gpu():
        from neuroglow.network.inference import choose_device

        if (best := choose_device("auto").type) != "cpu":
            return f"the device is {best}"
    if precision == "bfloat16" and "bfloat16" not in _precisions():
        return "this CPU has no bfloat16"
    return ""


def _may_have_gpu() -> bool:
    """Return whether PyTorch must be asked for a GPU: importing it takes seconds."""
    try:
        if version("torch").endswith("+cpu"):
            return False
    except PackageNotFoundError:
        return False
    if not sys.platform.startswith("linux"):
        return True
    drivers = ("nvidiactl", "nvidia0", "kfd", "dxg")  # NVIDIA, AMD, Windows' subsystem for Linux
    return any(Path("/dev", name).exists() for name in drivers)


def _precisions() -> tuple[Precision, ...]:
    from neuroglow.network.openvino_engine import precisions

    return precisions()


def _with_openvino(device: str, precision: Precision, *, int8: bool) -> Machine:
    best = precision
    if precision == "auto":
        best = next(p for p in _precisions() if int8 or p != "int8")
    return Machine("openvino", ",".join("cpu" for _ in device.split(",")), best)


def _with_torch(device: str, precision: Precision, because: str) -> Machine:
    from neuroglow.network.inference import choose_devices, choose_precision

    devices = choose_devices(device)
    dtype = str(choose_precision(precision, devices[0])).removeprefix("torch.")
    return Machine("torch", ",".join(map(str, devices)), dtype, because)
