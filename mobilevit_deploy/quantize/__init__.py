"""Precisions that an artifact can be exported in."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Precision(StrEnum):
    """Number format of an artifact's weights and activations; its inputs and outputs keep their types.

    ``int8`` computes in 8 bits, with ranges found on calibration pictures; what a target's recipe names, and
    what the accuracy gate makes it leave out, stays floating point. The others store weights in few bits and
    compute in floating point: ``int8-dynamic`` quantises activations on the fly where the runtime has kernels
    for that, ``int8-weights`` never does, and a palette holds 64 or 16 weights, of which each is one.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT8_DYNAMIC = "int8-dynamic"
    INT8_WEIGHTS = "int8-weights"
    PALETTE6 = "palette6"
    PALETTE4 = "palette4"

    @property
    def calibrated(self) -> bool:
        """Whether its ranges, or its palettes, are found on pictures."""
        return self in (Precision.INT8, Precision.PALETTE6, Precision.PALETTE4)

    @property
    def quantised(self) -> bool:
        """Whether accuracy may suffer, and has to be shown."""
        return self not in (Precision.FP32, Precision.FP16)


def inside(path: str, modules: Iterable[str]) -> bool:
    """Whether the dotted ``path`` of a module lies in one of ``modules``, whatever its graph's own prefix."""
    dotted = f".{path}."
    return any(f".{module}." in dotted for module in modules)
