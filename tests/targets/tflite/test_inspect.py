"""What XNNPACK and the GPU delegate take, on graphs made by hand: each breaks one rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.inspection import Delegation, Inspection
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.target import get_target

PICTURE = (1, 8, 8, 4)
Make = Callable[..., Path]


def inspected(path: Path) -> Inspection:
    return get_target("tflite").inspect(path)


def delegation(path: Path, accelerator: str) -> Delegation:
    return inspected(path).only(accelerator).delegations[0]


def refused(found: Delegation) -> list[tuple[str, str]]:
    return [
        (operator.kind, finding.rule)
        for finding in found.findings
        if finding.refused
        for operator in finding.operators
    ]


class Graph:
    """Builds a model operator by operator."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.buffers = [schema.BufferT()]
        self._model.operatorCodes = []
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []

    def tensor(
        self, shape: Sequence[int] = PICTURE, dtype: str = "FLOAT32", data: bytes | None = None, **fields: Any
    ) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), getattr(schema.TensorType, dtype), 0
        tensor.name = f"t{len(self._graph.tensors)}".encode()
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = list(data)
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        vars(tensor).update(fields)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, options: Any = None) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), 1
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes)
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self._model.operatorCodes.append(code)
        self._graph.operators.append(operator)

    def save(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)
        self._model.subgraphs = [self._graph]
        path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(self._model))
        return path


@pytest.fixture
def chain(tmp_path: Path) -> Make:
    """A file of operators in a row, on tensors of one kind."""

    def make(*kinds: str, **tensors: Any) -> Path:
        graph = Graph()
        places = [graph.tensor(**tensors) for _ in range(len(kinds) + 1)]
        for place, kind in enumerate(kinds):
            graph.operator(kind, [place], place + 1)
        return graph.save(tmp_path / "chain.tflite", places[:1], places[-1:])

    return make


@pytest.fixture
def convolution(tmp_path: Path) -> Path:
    graph = Graph()
    weights = graph.tensor((6, 3, 3, 4), data=np.ones(6 * 9 * 4, "<f4").tobytes())
    bias = graph.tensor((6,), data=np.ones(6, "<f4").tobytes())
    given, made = graph.tensor(), graph.tensor((1, 8, 8, 6))
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = 1
    graph.operator("CONV_2D", [given, weights, bias], made, options)
    return graph.save(tmp_path / "conv.tflite", [given], [made])


class TestCounts:
    def test_of_a_convolution(self, convolution: Path) -> None:
        found = inspected(convolution)
        assert found.operators == {"CONV_2D": 1}
        assert found.parameters == 6 * 9 * 4 + 6
        assert found.multiply_adds == 8 * 8 * 6 * 9 * 4
        assert found.peak_activation_bytes == (4 + 6) * 64 * 4
        assert found.full

    def test_shapes_are_no_parameters(self, tmp_path: Path) -> None:
        graph = Graph()
        shape = graph.tensor((2,), "INT32", data=np.array([1, 256], "<i4").tobytes())
        given, made = graph.tensor(), graph.tensor((1, 256))
        graph.operator("RESHAPE", [given, shape], made)
        assert inspected(graph.save(tmp_path / "reshape.tflite", [given], [made])).parameters == 0

    def test_of_8_bits_equal_those_of_floats(self, exported: Callable[..., Exported]) -> None:
        floats, bits = (
            inspected(exported("tflite", precision).path) for precision in ("fp32", "int8-dynamic")
        )
        assert bits.parameters == floats.parameters
        assert bits.multiply_adds == floats.multiply_adds
        assert bits.only("xnnpack").delegations[0].partitions == 1


class TestXnnpack:
    def test_takes_what_it_has(self, chain: Make) -> None:
        found = delegation(chain("RELU", "ROUND"), "xnnpack")
        assert (found.taken, found.total, found.partitions) == (2, 2, 1)
        assert found.told_by.startswith("LiteRT")

    def test_one_unknown_kind_makes_two_pieces(self, chain: Make) -> None:
        found = delegation(chain("RELU", "ZEROS_LIKE", "RELU"), "xnnpack")
        assert (found.taken, found.total, found.partitions) == (2, 3, 2)
        assert refused(found) == [("ZEROS_LIKE", found.findings[0].rule)]
        assert "kind" in found.findings[0].rule

    def test_integers_stay_outside(self, chain: Make) -> None:
        found = delegation(chain("ABS", "ABS", dtype="INT32"), "xnnpack")
        assert (found.taken, found.partitions) == (0, 0)
        assert {rule for _, rule in refused(found)} == {"Tensors are float32, or quantised to 8 bits."}

    def test_file_that_litert_cannot_prepare(self, tmp_path: Path) -> None:
        graph = Graph()
        given, other, made = graph.tensor((1, 3)), graph.tensor((1, 5)), graph.tensor((1, 3))
        graph.operator("ADD", [given, other], made, schema.AddOptionsT())
        path = graph.save(tmp_path / "add.tflite", [given, other], [made])
        found = delegation(path, "xnnpack")
        assert not found.full
        assert found.findings[0].rule.startswith("LiteRT can prepare the file.")


class TestGpuDelegate:
    def test_takes_what_it_has(self, chain: Make) -> None:
        assert delegation(chain("RELU", "SIN"), "tflite-gpu").full

    def test_unknown_kind_breaks_the_graph(self, chain: Make) -> None:
        found = delegation(chain("RELU", "ROUND", "RELU"), "tflite-gpu")
        assert (found.taken, found.total, found.partitions) == (2, 3, 2)
        assert refused(found)[0][0] == "ROUND"
        assert "gpu_compatibility.cc" in found.findings[0].source

    @pytest.mark.parametrize("shape", [(1, 2, 2, 2, 2), ()])
    def test_ranks(self, chain: Make, shape: tuple[int, ...]) -> None:
        found = delegation(chain("RELU", shape=shape), "tflite-gpu")
        assert not found.full
        assert "one to four axes" in refused(found)[0][1]

    def test_types(self, chain: Make) -> None:
        found = delegation(chain("ABS", dtype="INT64"), "tflite-gpu")
        assert "quantised to 8 bits" in refused(found)[0][1]

    def test_batches_are_a_warning(self, chain: Make) -> None:
        found = delegation(chain("RELU", shape=(2, 8, 8, 4)), "tflite-gpu")
        assert found.full
        assert found.findings[0].rule.startswith("The first axis of every tensor is 1.")

    def test_open_sizes_are_a_warning(self, chain: Make) -> None:
        path = chain("RELU", shapeSignature=[-1, 8, 8, 4])
        found = delegation(path, "tflite-gpu")
        assert [finding.rule for finding in found.findings] == ["Sizes are fixed."]
        assert any("open" in note for note in inspected(path).notes)

    def test_outer_product(self, tmp_path: Path) -> None:
        graph = Graph()
        left, right, made = (graph.tensor(shape) for shape in [(1, 8, 1), (1, 1, 4), (1, 8, 4)])
        graph.operator("MUL", [left, right], made, schema.MulOptionsT())
        path = graph.save(tmp_path / "outer.tflite", [left, right], [made])
        assert refused(delegation(path, "tflite-gpu"))[0][0] == "MUL"

    def test_computed_shape(self, tmp_path: Path) -> None:
        graph = Graph()
        given, shape, made = graph.tensor(), graph.tensor((2,), "INT32"), graph.tensor((1, 256))
        graph.operator("RESHAPE", [given, shape], made)
        path = graph.save(tmp_path / "reshape.tflite", [given, shape], [made])
        assert "constants" in refused(delegation(path, "tflite-gpu"))[0][1]


def test_truncated_file(convolution: Path) -> None:
    content = convolution.read_bytes()
    convolution.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=r"conv\.tflite"):
        inspected(convolution)
