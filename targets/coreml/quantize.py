"""Weights in 8 bits; activations, and the arithmetic, stay in float16.

Weights are compressed in the program that coremltools has converted, one tensor at a time, without data. Core
ML expands them when it loads the model or as it computes. Small tensors cost little and keep their type.
"""

from __future__ import annotations

from typing import Any

from mobilevit_deploy.quantize import Precision

COMPRESSED = frozenset({Precision.INT8_WEIGHTS})
"""Precisions that store weights in fewer bits than they compute in."""

_SMALLEST = 2048
"""Weights of fewer values stay as they are."""


def compress(model: Any) -> Any:
    """Store the weights of a converted model in 8 bits, symmetric, with a scale for each output channel.

    Args:
        model: coremltools' ``MLModel`` of an ML program for iOS 16 or later.

    Returns:
        Another ``MLModel``; the one given stays as it is.
    """
    from coremltools.optimize import coreml as cto

    linear = cto.OpLinearQuantizerConfig(
        mode="linear_symmetric", granularity="per_channel", weight_threshold=_SMALLEST
    )
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))
