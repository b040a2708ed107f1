"""Precisions that an artifact can be exported in."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """Number format of an artifact's weights and activations; its inputs and outputs keep their types.

    ``int8-dynamic`` stores weights in 8 bits; activations stay floating point, and are quantised on the fly
    where the runtime has kernels for that.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8_DYNAMIC = "int8-dynamic"
