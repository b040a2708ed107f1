"""What is counted of any graph, on graphs small enough to count by hand."""

from __future__ import annotations

import pytest

from mobilevit_deploy.dataflow import Dataflow, Node, Value, bits, convolution
from mobilevit_deploy.errors import ArtifactError

KILOBYTE = Value((250,), "float32")


def chain(*kinds: str) -> Dataflow:
    """Operators in a row, each reading what the one before it wrote; all values take 1,000 bytes."""
    nodes = tuple(Node(kind, kind, (str(place),), (str(place + 1),)) for place, kind in enumerate(kinds))
    return Dataflow(nodes, {str(place): KILOBYTE for place in range(len(kinds) + 1)}, (str(len(kinds)),))


def diamond() -> Dataflow:
    """``a`` feeds ``left`` and ``right``, and ``end`` reads both."""
    nodes = (
        Node("a", "a", ("in",), ("x",)),
        Node("left", "left", ("x",), ("y",)),
        Node("right", "right", ("x",), ("z",)),
        Node("end", "end", ("y", "z"), ("out",)),
    )
    return Dataflow(nodes, dict.fromkeys(("in", "x", "y", "z", "out"), KILOBYTE), ("out",))


class TestPeak:
    def test_a_chain_holds_two_values_at_a_time(self) -> None:
        assert chain("a", "b", "c").peak_bytes() == 2000

    def test_a_skip_connection_holds_its_value_until_it_is_read(self) -> None:
        nodes = (*chain("a", "b").nodes, Node("add", "add", ("0", "2"), ("3",)))
        flow = Dataflow(nodes, {str(place): KILOBYTE for place in range(4)}, ("3",))
        assert flow.peak_bytes() == 3000

    def test_weights_are_no_activations(self) -> None:
        nodes = (Node("conv", "conv", ("in", "weights"), ("out",)),)
        weights = Value((10**6,), "float32", constant=True)
        flow = Dataflow(nodes, {"in": KILOBYTE, "weights": weights, "out": KILOBYTE}, ("out",))
        assert flow.peak_bytes() == 2000

    def test_nor_is_what_is_computed_from_weights_alone(self) -> None:
        nodes = (
            Node("DequantizeLinear", "unpack", ("weights",), ("unpacked",)),
            Node("conv", "conv", ("in", "unpacked"), ("out",)),
        )
        large = Value((10**6,), "float32")
        packed = Value((10**6,), "int8", constant=True)
        values = {"in": KILOBYTE, "weights": packed, "unpacked": large, "out": KILOBYTE}
        assert Dataflow(nodes, values, ("out",)).peak_bytes() == 2000

    def test_what_nobody_reads_is_gone_at_once(self) -> None:
        nodes = (Node("a", "a", ("in",), ("x", "unread")), Node("b", "b", ("x",), ("y",)))
        flow = Dataflow(nodes, dict.fromkeys(("in", "x", "unread", "y"), KILOBYTE), ("y",))
        assert flow.peak_bytes() == 3000

    def test_bits_make_bytes(self) -> None:
        assert [Value((3,), dtype).bytes for dtype in ("float32", "float16", "int8", "int4")] == [12, 6, 3, 2]
        assert bits("uint8") == 8


class TestPartitions:
    @pytest.mark.parametrize(
        ("taken", "pieces"), [({0, 1, 2}, 1), ({0, 2}, 2), ({0, 1}, 1), ({1}, 1), (set(), 0)]
    )
    def test_of_a_chain(self, taken: set[int], pieces: int) -> None:
        assert chain("a", "b", "c").partitions(taken) == pieces

    def test_one_side_of_a_branch_splits_what_is_around_it(self) -> None:
        assert diamond().partitions({0, 1, 3}) == 2

    def test_independent_branches_share_a_piece(self) -> None:
        assert diamond().partitions({1, 2}) == 1

    def test_a_file_that_reads_what_comes_later_is_damaged(self) -> None:
        first, second = Node("a", "first", ("y",), ("x",)), Node("b", "second", ("x",), ("y",))
        flow = Dataflow((first, second), dict.fromkeys("xy", KILOBYTE), ("y",))
        with pytest.raises(ArtifactError, match="'first' reads what is written after it"):
            flow.partitions({0, 1})


def test_grouped_and_transposed_convolutions_cost_what_their_weights_say() -> None:
    ordinary = convolution(Value((16, 8, 3, 3), "float32"), 16, 16 * 10 * 10)
    depthwise = convolution(Value((16, 1, 3, 3), "float32"), 16, 16 * 10 * 10)
    transposed = convolution(Value((8, 16, 2, 2), "float32"), 8, 8 * 10 * 10)
    assert ordinary == 16 * 10 * 10 * 8 * 9
    assert depthwise == 16 * 10 * 10 * 9
    assert transposed == 8 * 10 * 10 * 16 * 4
