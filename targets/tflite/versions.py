"""Versions of operators: a runtime that is too old for one must refuse the file, and not compute nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_SCALE_A_CHANNEL = MappingProxyType(
    {
        schema.BuiltinOperator.CONV_2D: 5,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D: 6,
        schema.BuiltinOperator.FULLY_CONNECTED: 12,
    }
)
"""Of an operator with 8-bit weights, a scale a channel, and a float input; of a fully connected one with any
input: TensorFlow's ``op_version.cc``."""


def declare_versions(model: Any) -> None:
    """Raise the versions of operators that ai-edge-quantizer leaves where they were in float.

    An old runtime, such as that of TFLite Support 0.4.4, takes a fully connected layer's first scale for all
    of its channels, and every picture for the same; told version 12, it says that it does not know it.

    Args:
        model: object tree of ``flatbuffer_utils``; changed in place.
    """
    for code, wanted in _per_channel(model):
        code.version = max(code.version, wanted)


def _per_channel(model: Any) -> Iterator[tuple[Any, int]]:
    for graph in model.subgraphs:
        for node in graph.operators:
            code = model.operatorCodes[node.opcodeIndex]
            if code.builtinCode not in _SCALE_A_CHANNEL:
                continue
            given, weights = (graph.tensors[place] for place in node.inputs[:2])
            dense = code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
            if (dense or given.type == schema.TensorType.FLOAT32) and _scales(weights) > 1:
                yield code, _SCALE_A_CHANNEL[code.builtinCode]


def _scales(tensor: Any) -> int:
    """How many scales an 8-bit tensor has."""
    if tensor.type != schema.TensorType.INT8 or tensor.quantization.scale is None:
        return 0
    return len(tensor.quantization.scale)
