"""Reads the methods of a .pte file: their tensors and constants, their operators and delegates.

A .pte begins with a flatbuffer (ExecuTorch's schema/program.fbs); weights follow. The runtime tells nothing
of operators, and some damaged files bring it down; the exporter's own reader costs seconds of imports. The
flatbuffers library reads it in milliseconds, and raises over damage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flatbuffers.number_types import Int8Flags, Int64Flags

from mobilevit_deploy.errors import ArtifactError

from .flatbuffer import Fields

T = TypeVar("T")

IDENTIFIER = b"ET12"

DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
}
"""By torch's numbers."""

# Members of the schema's unions.
TENSOR, _STRING = 5, 6
KERNEL_CALL, DELEGATE_CALL = 1, 2

HEADER = struct.Struct("<4sIQQQ")
"""Magic, its own length, that of the flatbuffer, start of the segments that hold weights, their length."""


@dataclass(frozen=True)
class Tensor:
    """What a method takes or gives."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Method:
    """One method of a program.

    Attributes:
        inputs: tensors that it takes.
        outputs: tensors that it gives.
        strings: strings that it gives.
        operators: what it calls outside of delegates, in order, such as ``aten::argmax.out``.
        delegates: backends that it calls, in order.
        planned_bytes: memory that it needs for its tensors outside of delegates.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    strings: tuple[str, ...]
    operators: tuple[str, ...]
    delegates: tuple[str, ...]
    planned_bytes: int


def read_methods(path: Path) -> dict[str, Method]:
    """Read a program's methods, by name.

    Raises:
        ArtifactError: it is no ExecuTorch program, or a damaged one.
    """
    return read_program(
        path, lambda content: {plan.string(0): _method(plan) for plan in Fields.root(content).tables(1)}
    )


def read_program(path: Path, reader: Callable[[bytes], T]) -> T:
    """What ``reader`` makes of a program's bytes.

    Raises:
        ArtifactError: it is no ExecuTorch program, or a damaged one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read: {error.strerror}.", remedy="Check that the file is there and readable."
        ) from error
    if content[4:8] != IDENTIFIER:
        raise ArtifactError(f"{path} is no ExecuTorch program.", remedy="Export the model again.")
    try:
        _check_length(content)
        return reader(content)
    except (struct.error, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path} is a damaged ExecuTorch program: {error}.", remedy="Export the model again."
        ) from error


def _check_length(content: bytes) -> None:
    magic, _, _, start, length = HEADER.unpack_from(content, offset=8)
    if magic == b"eh00" and start + length > len(content):
        raise ValueError(f"it has {len(content)} bytes, and says that it has {start + length}")


def _method(plan: Fields) -> Method:
    values = [value.union(0) for value in plan.tables(2)]
    given = [values[index] for index in plan.integers(3)]
    produced = [values[index] for index in plan.integers(4)]
    calls = [call.union(0) for chain in plan.tables(5) for call in chain.tables(2)]
    operators = [f"{operator.string(0)}.{operator.string(1)}" for operator in plan.tables(6)]
    delegates = [delegate.string(0) for delegate in plan.tables(7)]
    return Method(
        inputs=tuple(_tensor(value) for kind, value in given if kind == TENSOR),
        outputs=tuple(_tensor(value) for kind, value in produced if kind == TENSOR),
        strings=tuple(value.string(0) for kind, value in produced if kind == _STRING),
        operators=tuple(operators[call.integer(0)] for kind, call in calls if kind == KERNEL_CALL),
        delegates=tuple(delegates[call.integer(0)] for kind, call in calls if kind == DELEGATE_CALL),
        planned_bytes=sum(plan.integers(8, Int64Flags)),
    )


def _tensor(value: Fields) -> Tensor:
    return Tensor(tuple(value.integers(2)), DTYPES.get(value.integer(0, Int8Flags), "unknown"))
