"""The operations of a saved ML program as a ``Dataflow``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mobilevit_deploy.dataflow import Dataflow, Node, Value, convolution

_DTYPES = {"fp16": "float16", "fp32": "float32", "fp64": "float64"}
_COMPUTED_WHEN_LOADED = "constexpr_"
"""Such operations only unpack weights, from palettes, 8 bits or sparse ones; Core ML does so once."""


def dataflow(function: Any) -> Dataflow:
    """The operations of ``function``, as coremltools represents it; those inside branches are left out."""
    values = {name: _value(var) for name, var in function.inputs.items()}
    nodes = []
    for operation in function.operations:
        constant = operation.op_type == "const" or operation.op_type.startswith(_COMPUTED_WHEN_LOADED)
        values |= {var.name: _value(var, constant=constant) for var in operation.outputs}
        if not constant:
            nodes.append(_node(operation, values))
    return Dataflow(tuple(nodes), values, tuple(var.name for var in function.outputs))


def stored_parameters(flow: Dataflow) -> int:
    """How many numbers the weights and biases hold; neither shapes and axes nor single numbers."""
    read = {name for node in flow.nodes for name in node.inputs}
    stored = (flow.values[name] for name in read if flow.values[name].constant)
    return sum(value.elements for value in stored if value.shape and value.dtype not in {"int32", "bool"})


def dilated(function: Any) -> set[str]:
    """Names of the convolutions that skip pixels."""
    found = (op for op in function.operations if op.op_type.startswith("conv") and _dilation(op) > 1)
    return {op.outputs[0].name for op in found}


def _dilation(operation: Any) -> int:
    dilations = operation.inputs.get("dilations")
    return 1 if dilations is None or dilations.val is None else int(max(dilations.val))


def _value(var: Any, *, constant: bool = False) -> Value:
    from coremltools.converters.mil.mil import types
    from coremltools.converters.mil.mil.types.symbolic import is_symbolic

    if types.is_list(var.sym_type) or types.is_dict(var.sym_type):
        return Value((), "unknown", constant=constant)  # such as names of classes
    shape = tuple(var.shape)
    return Value(
        shape=tuple(1 if is_symbolic(length) else int(length) for length in shape),
        dtype=_dtype(str(types.builtin_to_string(var.dtype))),
        constant=constant,
        fixed=not any(map(is_symbolic, shape)),
    )


def _dtype(name: str) -> str:
    return "string" if name == "str" else _DTYPES.get(name, name)


def _node(operation: Any, values: dict[str, Value]) -> Node:
    inputs = tuple(dict.fromkeys(_read(operation)))
    outputs = tuple(var.name for var in operation.outputs)
    cost = _multiply_adds(operation, values) if values[outputs[0]].dtype != "unknown" else 0
    return Node(operation.op_type, outputs[0], inputs, outputs, cost)


def _read(operation: Any) -> Iterator[str]:
    """Names of what an operation reads, without constants that are settings, such as axes."""
    for argument in operation.inputs.values():
        for var in argument if isinstance(argument, list | tuple) else [argument]:
            if var is not None:
                yield var.name


def _multiply_adds(operation: Any, values: dict[str, Value]) -> int:
    def read(argument: str) -> Value:
        return values[operation.inputs[argument].name]

    made = values[operation.outputs[0].name]
    kind = operation.op_type
    if kind in {"conv", "linear"}:
        return made.elements * math.prod(read("weight").shape[1:])
    if kind == "conv_transpose":
        return convolution(read("weight"), read("x").shape[1], read("x").elements)
    if kind == "matmul":
        turned = operation.inputs.get("transpose_x")
        return made.elements * read("x").shape[-2 if turned is not None and turned.val else -1]
    if kind == "einsum":  # nchw,nwhu->nchu
        return made.elements * values[operation.inputs["values"][0].name].shape[-1]
    if kind == "scaled_dot_product_attention":
        return (read("query").elements + made.elements) * read("key").shape[-2]
    return 0
