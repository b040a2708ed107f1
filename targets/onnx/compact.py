"""What a quantised file can do without: a fifth of MobileViT-XXS."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import DeduplicateInitializersPass, RemoveUnusedNodesPass

_ROUNDED = "_quantized"
"""What ONNX Runtime appends to the name of a weight that it rounds."""


def compact(model: ir.Model) -> None:
    """Shorten a model in ONNX Runtime's QDQ form, in place; it computes the same.

    ONNX Runtime writes a weight's full name ten times, and a zero for each channel of each weight and bias.
    """
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            _name_rounding(node)
        elif node.op_type == "DequantizeLinear" and _is_weight(node):
            _drop_default_zeros(node)
            _name_weight(node)
    RemoveUnusedNodesPass()(model)
    DeduplicateInitializersPass()(model)


def _is_weight(node: ir.Node) -> bool:
    return _input(node, 0).is_initializer()


def _drop_default_zeros(node: ir.Node) -> None:
    """Leave out a bias' zero point. Fusions look for that of a weight."""
    if _input(node, 0).dtype == ir.DataType.INT32:
        node.resize_inputs(2)


def _name_rounding(node: ir.Node) -> None:
    """Name a pair of QuantizeLinear and DequantizeLinear after the tensor that they round."""
    name = _input(node, 0).name
    node.name = node.outputs[0].name = f"{name}_q"
    _input(node, 1).name, _input(node, 2).name = f"{name}_scale", f"{name}_zero"
    for reader in node.outputs[0].consumers():
        reader.name = f"{name}_dq"
        if not reader.outputs[0].is_graph_output():
            reader.outputs[0].name = reader.name


def _name_weight(node: ir.Node) -> None:
    """Name a weight as the checkpoint does, and all around it after the tensor that is made with it."""
    weight = _input(node, 0)
    weight.name = (weight.name or "").removesuffix(_ROUNDED)
    ((reader, position),) = node.outputs[0].uses()
    name = f"{reader.outputs[0].name}_{'xwb'[position]}"
    node.name = node.outputs[0].name = name
    for value, part in zip(node.inputs[1:], ("scale", "zero"), strict=False):
        assert value is not None
        value.name = f"{name}_{part}"


def _input(node: ir.Node, position: int) -> ir.Value:
    value = node.inputs[position]
    assert value is not None
    return value
