"""The operators of an .onnx file as a ``Dataflow``."""

from __future__ import annotations

import math
from typing import Any

import onnx

from mobilevit_deploy.dataflow import Dataflow, Node, Value, convolution

from .file import dtype

_CONVOLUTIONS = {
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "com.microsoft.FusedConv": (0, 1),
    "QLinearConv": (0, 3),
}
"""By kind, where the picture and the weights stand among the inputs."""

_PRODUCTS = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "com.microsoft.FusedMatMul"}

_STORED = {
    "QuantizeLinear": (0,),
    "DequantizeLinear": (0,),
    "MatMulInteger": (0, 1),
    "ConvInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "QLinearConv": (0, 3, 8),
}
"""Of kinds that also read scales and zero points: where weights and biases may stand. Integers may be either
only here; everywhere else they are shapes, axes and indices."""


def dataflow(model: onnx.ModelProto) -> Dataflow:
    """The main graph of ``model``; shapes are inferred from those that the file tells, as far as they go."""
    graph = _with_shapes(model).graph
    values = {told.name: _value(told) for told in (*graph.input, *graph.value_info, *graph.output)}
    values |= {
        stored.name: Value(tuple(stored.dims), dtype(stored.data_type), constant=True)
        for stored in graph.initializer
    }
    for node in graph.node:
        for name in (*node.input, *node.output):
            values.setdefault(name, Value((), "unknown", fixed=False))
    nodes = tuple(_node(node, values) for node in graph.node)
    return Dataflow(nodes, values, tuple(told.name for told in graph.output))


def stored_parameters(flow: Dataflow) -> int:
    """How many numbers the weights and biases hold; neither shapes nor axes, scales nor zero points."""
    stored: set[str] = set()
    for node in flow.nodes:
        places = _STORED.get(node.kind, range(len(node.inputs)))
        for place in places:
            name = node.inputs[place] if place < len(node.inputs) else ""
            known = name in flow.values and flow.values[name].constant
            if known and (node.kind in _STORED or not _is_index(flow.values[name])):
                stored.add(name)
    return sum(flow.values[name].elements for name in stored)


def name_of(node: onnx.NodeProto) -> str:
    """What tells a node from all others: its first output, since names may be missing or double."""
    return str(next((name for name in node.output if name), node.name))


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        return model  # shapes that contradict each other: what the file tells is all there is


def _value(told: onnx.ValueInfoProto) -> Value:
    tensor = told.type.tensor_type
    axes = tensor.shape.dim
    return Value(
        shape=tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in axes),
        dtype=dtype(tensor.elem_type),
        fixed=tensor.HasField("shape") and all(axis.HasField("dim_value") for axis in axes),
    )


def _node(node: onnx.NodeProto, values: dict[str, Value]) -> Node:
    kind = f"{node.domain}.{node.op_type}".removeprefix("ai.onnx").lstrip(".")
    given = [values[name] for name in node.input]
    inputs = tuple(name for name in node.input if name)  # an empty name stands for one that is left out
    outputs = tuple(name for name in node.output if name)
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    return Node(
        kind, name_of(node), inputs, outputs, _multiply_adds(kind, given, values[outputs[0]], attributes)
    )


def _multiply_adds(kind: str, given: list[Value], made: Value, attributes: dict[str, Any]) -> int:
    if kind in _CONVOLUTIONS:
        _, weights = (given[place] for place in _CONVOLUTIONS[kind])
        return made.elements * math.prod(weights.shape[1:])
    if kind == "ConvTranspose":
        return convolution(given[1], given[0].shape[1] if len(given[0].shape) > 1 else 1, given[0].elements)
    if kind in _PRODUCTS and given[0].shape:
        return made.elements * given[0].shape[-2 if attributes.get("transA") else -1]
    return 0


def _is_index(value: Value) -> bool:
    return value.dtype in {"int32", "int64", "bool"}
