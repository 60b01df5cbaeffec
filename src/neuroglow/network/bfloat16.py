"""Whether bfloat16 pays on this CPU. Needs no PyTorch.

Intel's processors multiply bfloat16 fast in tiles (AMX). Where they have none, or a virtual machine
hides them, the instructions that are left (AVX-512 bf16) were measured at 0.3 of the rate of
float32; AMD's, which have no tiles, at 2 (docs/lab-notebook/costs.md).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["bfloat16_pays"]

CPUINFO = Path("/proc/cpuinfo")
"""The processor as Linux states it; elsewhere nothing is known, and bfloat16 is taken to pay."""


@cache
def bfloat16_pays() -> bool:
    """Return whether a CPU that has bfloat16 is faster in it than in float32."""
    try:
        said = CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return True
    return "GenuineIntel" not in said or "amx_bf16" in said
