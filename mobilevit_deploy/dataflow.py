"""A file's operators and what passes between them, whatever its format: what can be counted of it.

Each target translates its file into a ``Dataflow``. Constants are what the file stores; what is computed from
constants alone, such as weights that are turned from 8 bits back into floats, is a constant as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mobilevit_deploy.errors import ArtifactError

_BITS = {"bool": 8, "uint4": 4, "int4": 4, "uint2": 2, "int2": 2, "bfloat16": 16, "string": 0, "unknown": 0}
"""Of types whose names do not end in their width."""


@dataclass(frozen=True)
class Value:
    """A tensor.

    Attributes:
        shape: an axis of open length counts as 1.
        dtype: such as ``float32``.
        constant: the file stores its numbers.
        fixed: no axis is of open length.
    """

    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    fixed: bool = True

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return -(-self.elements * bits(self.dtype) // 8)

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Node:
    """An operator.

    Attributes:
        kind: what the format calls it, such as ``CONV_2D``.
        name: tells it from others of its kind.
        inputs: names of the values that it reads; those that it does without are left out.
        outputs: names of the values that it writes.
        multiply_adds: of convolutions and matrix products; 0 of everything else.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    multiply_adds: int = 0


@dataclass(frozen=True)
class Dataflow:
    """The operators of a file.

    Attributes:
        nodes: in the order in which they run.
        values: by name.
        outputs: names of the values that the file gives.
    """

    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    outputs: tuple[str, ...]

    @property
    def kinds(self) -> dict[str, int]:
        """How many operators there are of each kind, the most frequent first."""
        return dict(Counter(node.kind for node in self.nodes).most_common())

    @property
    def fixed(self) -> bool:
        """No value has an axis of open length."""
        read_or_written = (name for node in self.nodes for name in (*node.inputs, *node.outputs))
        return all(self.values[name].fixed for name in read_or_written)

    @property
    def multiply_adds(self) -> int:
        """Of one inference."""
        return sum(node.multiply_adds for node in self.nodes)

    @cached_property
    def constants(self) -> frozenset[str]:
        """Names of the values that do not depend on what the file is fed."""
        known = {name for name, value in self.values.items() if value.constant}
        for node in self.nodes:
            if known.issuperset(node.inputs):
                known.update(node.outputs)
        return frozenset(known)

    def activations(self, node: Node) -> list[Value]:
        """What passes through ``node``: all that it reads and writes, apart from constants."""
        names = (*node.inputs, *node.outputs)
        return [self.values[name] for name in names if name not in self.constants]

    def peak_bytes(self) -> int:
        """The most memory that activations take at once.

        A value lives from the operator that writes it to the last one that reads it; what the file takes,
        from the beginning; what it gives, to the end. No two share memory, as no operator works in place.
        """
        last = {name: place for place, node in enumerate(self.nodes) for name in node.inputs}
        last |= dict.fromkeys(self.outputs, len(self.nodes))
        written = {name for node in self.nodes for name in node.outputs}
        given = set(last) - written - self.constants
        alive = sum(self.values[name].bytes for name in given)
        peak = alive
        for place, node in enumerate(self.nodes):
            made = [name for name in node.outputs if name not in self.constants]
            alive += sum(self.values[name].bytes for name in made)
            peak = max(peak, alive)
            # What nobody reads is gone as soon as its operator is done.
            used = {*node.inputs, *made} - self.constants
            alive -= sum(self.values[name].bytes for name in used if last.get(name, place) == place)
        return peak

    def partitions(self, taken: Collection[int]) -> int:
        """In how many pieces a runtime cuts out the nodes whose places are ``taken``.

        Greedily, as LiteRT and ONNX Runtime do: a piece grows by every node whose inputs are there, until
        only nodes of the other sort could go on.

        Raises:
            ArtifactError: an operator waits for what only itself or those after it write.
        """
        written = {name for node in self.nodes for name in node.outputs}
        ready = {name for node in self.nodes for name in node.inputs} - written
        left = list(range(len(self.nodes)))
        pieces = 0
        ours = True
        stuck = 0
        while left:
            rest = []
            for place in left:
                node = self.nodes[place]
                if (place in taken) == ours and ready.issuperset(node.inputs):
                    ready.update(node.outputs)
                else:
                    rest.append(place)
            pieces += ours and len(rest) < len(left)
            stuck = stuck + 1 if len(rest) == len(left) else 0
            if stuck == 2:
                name = self.nodes[left[0]].name
                raise ArtifactError(
                    f"The operator '{name}' reads what is written after it.",
                    remedy="The file is damaged: export it again.",
                )
            left, ours = rest, not ours
        return pieces


def bits(dtype: str) -> int:
    """How wide a number of this type is: 32 for ``float32``."""
    return _BITS[dtype] if dtype in _BITS else int("".join(filter(str.isdigit, dtype)))


def convolution(weights: Value, channels: int, places: int) -> int:
    """Multiply-adds of a convolution, grouped and transposed ones too.

    Args:
        weights: of any layout.
        channels: the output's, or for a transposed convolution the input's.
        places: numbers in the output, or for a transposed convolution in the input.
    """
    return places * weights.elements // max(channels, 1)


def parameters(values: Iterable[Value]) -> int:
    """How many numbers ``values`` hold."""
    return sum(value.elements for value in values)
