"""The operators of a .pte file as a ``Dataflow``, inside of XNNPACK's delegates and outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flatbuffers.number_types import Int8Flags, Uint8Flags, Uint32Flags, Uint64Flags

from mobilevit_deploy.dataflow import Dataflow, Node, Value, convolution
from mobilevit_deploy.errors import ArtifactError

from .flatbuffer import Fields
from .program import DELEGATE_CALL, DTYPES, HEADER, KERNEL_CALL, TENSOR, read_program
from .xnnpack import read_delegate

XNNPACK = "XnnpackBackend"
_METHOD = "forward"
_TENSOR_LISTS = {10, 11}
_INLINE = 0


@dataclass(frozen=True)
class Graph:
    """What a method of a program does.

    Attributes:
        flow: every operator; a delegate other than XNNPACK is one operator, since its payload is its own.
        delegated: names of the nodes inside of XNNPACK.
        calls: how often XNNPACK is called.
        other_backends: delegates that are called too.
    """

    flow: Dataflow
    delegated: frozenset[str]
    calls: int
    other_backends: frozenset[str]


def read_graph(path: Path) -> Graph:
    """Read the method ``forward``.

    Raises:
        ArtifactError: it is no ExecuTorch program, a damaged one, or has no method ``forward``.
    """
    graph = read_program(path, _graph)
    if graph is None:
        raise ArtifactError(f"{path} has no method '{_METHOD}'.", remedy="Export the model again.")
    return graph


def _graph(content: bytes) -> Graph | None:
    program = Fields.root(content)
    for plan in program.tables(1):
        if plan.string(0) == _METHOD:
            return _Reader(content, program, plan).graph()
    return None


class _Reader:
    """Follows the instructions of one method."""

    def __init__(self, content: bytes, program: Fields, plan: Fields) -> None:
        self._content = content
        self._inline = [data.span(0) for data in program.tables(3)]
        self._segments = [
            (segment.integer(0, Uint64Flags), segment.integer(1, Uint64Flags))
            for segment in program.tables(4)
        ]
        self._plan = plan
        self._arguments = [value.union(0) for value in plan.tables(2)]
        self._values = {
            _name(place): _value(tensor)
            for place, (kind, tensor) in enumerate(self._arguments)
            if kind == TENSOR
        }
        self._delegates = list(plan.tables(7))
        self._nodes: list[Node] = []
        self._delegated: set[str] = set()
        self._others: set[str] = set()
        self._calls = 0

    def graph(self) -> Graph:
        operators = [f"{operator.string(0)}.{operator.string(1)}" for operator in self._plan.tables(6)]
        for chain in self._plan.tables(5):
            for instruction in chain.tables(2):
                kind, call = instruction.union(0)
                if kind == KERNEL_CALL:
                    self._kernel(operators[call.integer(0)], call.integers(1))
                elif kind == DELEGATE_CALL:
                    self._delegate(self._delegates[call.integer(0)], call.integers(1))
        outputs = tuple(_name(place) for place in self._plan.integers(4) if _name(place) in self._values)
        return Graph(
            Dataflow(tuple(self._nodes), self._values, outputs),
            frozenset(self._delegated),
            self._calls,
            frozenset(self._others),
        )

    def _kernel(self, kind: str, arguments: list[int]) -> None:
        # The last argument is what the operator writes to; it stands there twice.
        made = self._tensors(arguments[-1:])
        given = [name for name in self._tensors(arguments) if name not in made]
        cost = self._multiply_adds(kind, arguments, given, made)
        self._nodes.append(Node(kind, f"#{len(self._nodes)}", tuple(given), tuple(made), cost))

    def _delegate(self, delegate: Fields, arguments: list[int]) -> None:
        backend = delegate.string(0)
        names = [_name(place) for place in arguments]
        if backend == XNNPACK:
            nodes, values = read_delegate(self._payload(delegate), f"call {self._calls}", names)
            self._calls += 1
            self._nodes += nodes
            self._delegated |= {node.name for node in nodes}
            self._values = values | self._values
            return
        self._others.add(backend)
        known = {name for node in self._nodes for name in node.outputs}
        known |= {_name(place) for place in self._plan.integers(3)}
        tensors = self._tensors(arguments)
        given = tuple(name for name in tensors if name in known or self._values[name].constant)
        made = tuple(name for name in tensors if name not in given)
        self._nodes.append(Node(backend, f"#{len(self._nodes)}", given, made))

    def _payload(self, delegate: Fields) -> bytes:
        reference = delegate.table(1)
        if reference is None:
            raise ValueError("a delegate has no payload")
        index = reference.integer(1, Uint32Flags)
        if reference.integer(0, Uint8Flags) == _INLINE:
            start, end = self._inline[index]
        else:
            _, _, _, base, _ = HEADER.unpack_from(self._content, offset=8)
            offset, size = self._segments[index]
            start, end = base + offset, base + offset + size
        return self._content[start:end]

    def _tensors(self, arguments: list[int]) -> list[str]:
        names = []
        for place in arguments:
            kind, argument = self._arguments[place]
            if kind == TENSOR:
                names.append(_name(place))
            elif kind in _TENSOR_LISTS:
                names += [_name(item) for item in argument.integers(0) if item >= 0]
        return list(dict.fromkeys(names))

    def _multiply_adds(self, kind: str, arguments: list[int], given: list[str], made: list[str]) -> int:
        operator = kind.removeprefix("aten::").split(".")[0]
        shapes = [self._values[name] for name in given]
        if operator in {"mm", "bmm", "linear"}:
            return self._values[made[0]].elements * shapes[0].shape[-1]
        if operator == "addmm":
            return self._values[made[0]].elements * shapes[1].shape[-1]
        if operator == "convolution":
            transposed = self._arguments[arguments[6]][1].integer(0, Uint8Flags)
            counted = shapes[0] if transposed else self._values[made[0]]
            return convolution(shapes[1], counted.shape[1], counted.elements)
        return 0


def _name(place: int) -> str:
    return f"value {place}"


def _value(tensor: Fields) -> Value:
    stored = tensor.integer(5, Uint32Flags) > 0 and tensor.table(6) is None
    return Value(
        shape=tuple(tensor.integers(2)),
        dtype=DTYPES.get(tensor.integer(0, Int8Flags), "unknown"),
        constant=stored,
        fixed=tensor.integer(8, Int8Flags) == 0,
    )
