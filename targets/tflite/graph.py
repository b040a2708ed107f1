"""The operators of a .tflite file as a ``Dataflow``."""

from __future__ import annotations

import math
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.dataflow import Dataflow, Node, Value, convolution

_TYPES = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
_WEIGHTED = {
    "CONV_2D",
    "CONV_3D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "CONV_3D_TRANSPOSE",
}
"""Kinds whose int32 constants may be biases; everywhere else they are shapes and axes."""


def dataflow(model: Any) -> Dataflow:
    """The main subgraph of ``model``, the schema's ``ModelT``."""
    graph = model.subgraphs[0]
    values = {_name(place): _value(model, tensor) for place, tensor in enumerate(graph.tensors)}
    nodes = tuple(_node(model, graph, place, values) for place in range(len(graph.operators)))
    return Dataflow(nodes, values, tuple(_name(place) for place in graph.outputs))


def stored_parameters(flow: Dataflow) -> int:
    """How many numbers the weights and biases hold; neither shapes nor axes."""
    stored: set[str] = set()
    for node in flow.nodes:
        for place, name in enumerate(node.inputs):
            value = flow.values[name]
            bias = node.kind in _WEIGHTED and place == 2
            if value.constant and (bias or value.dtype not in {"int32", "int64", "bool"}):
                stored.add(name)
    return sum(flow.values[name].elements for name in stored)


def _name(place: int) -> str:
    return f"T#{place}"


def _value(model: Any, tensor: Any) -> Value:
    data = model.buffers[tensor.buffer]
    stored = (data.data is not None and len(data.data) > 0) or bool(data.size)
    shape = () if tensor.shape is None else tuple(int(length) for length in tensor.shape)
    signature = () if tensor.shapeSignature is None else tuple(tensor.shapeSignature)
    return Value(
        shape=tuple(abs(length) for length in shape),
        dtype=_TYPES[tensor.type],
        constant=stored and not tensor.isVariable,
        fixed=min((*shape, *signature), default=0) >= 0,
    )


def _node(model: Any, graph: Any, place: int, values: dict[str, Value]) -> Node:
    operator = graph.operators[place]
    inputs = tuple(_name(i) for i in operator.inputs if i >= 0)  # -1 stands for one that is left out
    outputs = tuple(_name(i) for i in operator.outputs)
    kind = _kind(model, operator.opcodeIndex)
    given = [values[name] for name in inputs]
    made = [values[name] for name in outputs]
    return Node(kind, f"#{place}", inputs, outputs, _multiply_adds(kind, given, made, operator))


def _kind(model: Any, index: int) -> str:
    code = model.operatorCodes[index]
    kind = str(flatbuffer_utils.opcode_to_name(model, index))
    return f"CUSTOM {code.customCode.decode()}" if code.customCode else kind


def _multiply_adds(kind: str, given: list[Value], made: list[Value], operator: Any) -> int:
    if kind in {"CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D"}:
        return convolution(given[1], made[0].shape[-1], made[0].elements)
    if kind == "FULLY_CONNECTED":
        return math.prod(made[0].shape) * given[1].shape[-1]
    if kind == "BATCH_MATMUL":
        options = operator.builtinOptions
        return made[0].elements * given[0].shape[-2 if options is not None and options.adjX else -1]
    if kind == "TRANSPOSE_CONV":
        return convolution(given[1], given[2].shape[-1], given[2].elements)
    return 0
