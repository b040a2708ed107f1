"""Reads what the XNNPACK delegate of a .pte file computes: its payload is a flatbuffer of its own.

The numbers are those of executorch's backends/xnnpack/serialization/schema.fbs.
"""

from __future__ import annotations

import struct

from flatbuffers.number_types import Int16Flags, Uint32Flags

from mobilevit_deploy.dataflow import Node, Value

from .flatbuffer import Fields

_HEADER = struct.Struct("<4x4sHI")
"""Magic, its own length, where the flatbuffer begins."""

_DTYPE_NAMES = """
    unknown float32 float16 int8 uint8 int32 int8 int32 int4 int8 int4 int8 int32 float32 bfloat16
"""
_DTYPES = _DTYPE_NAMES.split()
_QUANTIZED = 2  # of the two kinds of tensors, the one that wraps the other
_DTYPE, _SHAPE, _CONSTANT_BUFFER, _EXTERNAL_ID, _FLAGS, _ID = 0, 2, 3, 4, 5, 6
_EXTERNAL = 1 | 2  # given to the delegate, wanted from it
_NOTHING = 2**32 - 1

_KIND_NAMES = """
    - Add FullyConnected Softmax Sigmoid StaticTranspose Clamp Conv2d Div StaticResizeBilinear2D
    StaticConstantPad AvgPooling2d Minimum DepthwiseConv2d MaxPooling2d Multiply Subtract Floor Convert
    GlobalAvgPooling2d StaticReshape ArgMaxPooling2d SquareRoot Ceiling Hardswish LeakyReLU Maximum Negate
    Square ELU Abs PReLU Concatenate2 Concatenate3 Concatenate4 StaticSlice ScaledDotProductAttention
    BatchMatrixMultiply Concatenate5 ConvTranspose2d ReciprocalSquareRoot Log Gelu Tanh Exp Sin Copy Cos
"""
_KINDS = _KIND_NAMES.split()
"""In the order of the schema's union of operators, whose first member is none."""

_WINDOW = (4, 5, 10, 11)
"""Of a convolution: height, width, and the channels that a group takes and gives."""

_CONVOLUTION = ((15, 16, 17), (18,))
_CONCATENATION = ((1, 2, 3, 4, 7), (5,))
_POOLING = ((10,), (11,))
_TWO_OPERANDS = ((0, 1), (2,))
_ONE_OPERAND = ((0,), (1,))
_TENSORS = {
    **dict.fromkeys(("Conv2d", "DepthwiseConv2d", "ConvTranspose2d"), _CONVOLUTION),
    **dict.fromkeys(("Concatenate2", "Concatenate3", "Concatenate4", "Concatenate5"), _CONCATENATION),
    **dict.fromkeys(("AvgPooling2d", "MaxPooling2d"), _POOLING),
    **dict.fromkeys(
        ("Add", "Div", "Minimum", "Maximum", "Multiply", "Subtract", "PReLU", "BatchMatrixMultiply"),
        _TWO_OPERANDS,
    ),
    **dict.fromkeys(("StaticTranspose", "StaticResizeBilinear2D", "StaticReshape"), ((2,), (3,))),
    **dict.fromkeys(("StaticConstantPad", "StaticSlice"), ((3,), (4,))),
    **dict.fromkeys(("ELU", "LeakyReLU"), ((1,), (2,))),
    "FullyConnected": ((0, 1, 2), (3,)),
    "ScaledDotProductAttention": ((0, 1, 2, 3, 4), (5,)),
    "ArgMaxPooling2d": ((6,), (7, 8)),
}
"""By kind, the fields that name what it reads and what it writes; those of one operand are left out."""

_CONCATENATED = {"Concatenate2": 2, "Concatenate3": 3, "Concatenate4": 4}


def read_delegate(payload: bytes, name: str, outside: list[str]) -> tuple[list[Node], dict[str, Value]]:
    """The operators of one delegate call, in order.

    Args:
        payload: what the file holds for the delegate.
        name: what its operators and values are called by, such as ``call 0``.
        outside: names of the values that it is called with.

    Returns:
        The nodes, and the values that they read and write, by name.
    """
    magic, _, start = _HEADER.unpack_from(payload)
    graph = Fields.root(payload, start if magic == b"XH00" else 0)
    names: dict[int, str] = {}
    values: dict[int, Value] = {}
    for entry in graph.tables(2):
        sort, tensor = entry.union(0)
        if sort == _QUANTIZED:
            tensor = tensor.table(0) or tensor
        number = tensor.integer(_ID, Uint32Flags)
        external = tensor.integer(_FLAGS, Uint32Flags) & _EXTERNAL
        names[number] = outside[tensor.integer(_EXTERNAL_ID)] if external else f"{name} value {number}"
        values[number] = Value(
            shape=tuple(tensor.integers(_SHAPE, Uint32Flags)),
            dtype=_DTYPES[tensor.integer(_DTYPE, Int16Flags)],
            constant=tensor.integer(_CONSTANT_BUFFER, Uint32Flags) > 0,
        )
    nodes = []
    for place, entry in enumerate(graph.tables(1)):
        member, fields = entry.union(0)
        kind = _KINDS[member]
        given, made = _operands(kind, fields)
        cost = _multiply_adds(kind, fields, values[given[0]], values[made[0]])
        called = tuple(names[number] for number in given), tuple(names[number] for number in made)
        nodes.append(Node(kind, f"{name} #{place}", *called, cost))
    return nodes, {names[number]: value for number, value in values.items()}


def _operands(kind: str, fields: Fields) -> tuple[list[int], list[int]]:
    reads, writes = _TENSORS.get(kind, _ONE_OPERAND)
    reads = reads[: _CONCATENATED.get(kind)]
    given = [fields.integer(field, Uint32Flags) for field in reads]
    return [number for number in given if number != _NOTHING], [
        fields.integer(field, Uint32Flags) for field in writes
    ]


def _multiply_adds(kind: str, fields: Fields, given: Value, made: Value) -> int:
    if kind in {"Conv2d", "DepthwiseConv2d", "ConvTranspose2d"}:
        height, width, inputs, outputs = (fields.integer(field, Uint32Flags) for field in _WINDOW)
        if kind == "ConvTranspose2d":
            return given.elements * height * width * outputs
        return made.elements * height * width * inputs
    if kind in {"FullyConnected", "BatchMatrixMultiply"}:
        return made.elements * given.shape[-1]
    return 0
