"""Precisions that an artifact can be exported in."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """Number format of an artifact's weights and activations; its inputs and outputs stay float32."""

    FP32 = "fp32"
    FP16 = "fp16"
