from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from mobilevit_deploy.targets.tflite.from_torch import convert
from mobilevit_deploy.targets.tflite.names import module_of
from mobilevit_deploy.targets.tflite.quantize import quantized

from conftest import card
from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.model.graph import deploy_graph
from mobilevit_deploy.pipeline import Exported, check, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, get_target

FLOAT16, FLOAT32, INT8 = schema.TensorType.FLOAT16, schema.TensorType.FLOAT32, schema.TensorType.INT8

LARGE = 1024
"""Elements of a constant that is worth its bytes in another type: smaller ones are shapes, and biases."""


def read(path: Path) -> Any:
    return flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))


def large_constants(path: Path) -> list[Any]:
    """A file's tensors that hold weights."""
    model = read(path)
    (graph,) = model.subgraphs
    return [
        tensor
        for tensor in graph.tensors
        if model.buffers[tensor.buffer].data is not None and np.prod(tensor.shape) >= LARGE
    ]


class TestHalf:
    @pytest.mark.parametrize("converter", ["litert-torch", "keras"])
    def test_weights_are_stored_in_sixteen_bits(
        self, exported: Callable[..., Exported], converter: str
    ) -> None:
        if converter == "keras":
            pytest.importorskip("tensorflow")
        whole, half = (
            exported("tflite", precision, converter=converter).path for precision in ("fp32", "fp16")
        )
        assert {tensor.type for tensor in large_constants(whole)} == {FLOAT32}
        assert {tensor.type for tensor in large_constants(half)} == {FLOAT16}
        assert half.stat().st_size < 0.53 * whole.stat().st_size

    def test_runs_as_a_whole_in_one_delegate(self, exported: Callable[..., Exported]) -> None:
        path = exported("tflite", "fp16", converter="litert-torch").path
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        assert [node["op_name"] for node in interpreter._get_ops_details()].count("DELEGATE") == 1


WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

SIDE = 96
"""Pixels: ranges of a few pictures are enough to see what computes in what."""


class Node:
    """A node of a quantised graph."""

    def __init__(self, model: Any, graph: Any, node: Any) -> None:
        self.kind: str = flatbuffer_utils.opcode_to_name(model, node.opcodeIndex)
        self.inputs = [graph.tensors[place] for place in node.inputs if place >= 0]
        (self.output,) = (graph.tensors[place] for place in node.outputs)
        # The graph's output has a name of its own: what writes it is known by its weights.
        self.module = module_of(self.output.name if b"/" in self.output.name else self.inputs[1].name)

    @property
    def in_8_bits(self) -> bool:
        """Whether it computes in 8 bits, and does not only store its weights so."""
        return bool(self.inputs[0].type == self.output.type == INT8)


def nodes_of(content: bytes) -> list[Node]:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    nodes = [Node(model, graph, node) for node in graph.operators]
    return [node for node in nodes if node.kind not in ("QUANTIZE", "DEQUANTIZE")]


@pytest.fixture(scope="module")
def float_graph(reference: Reference) -> bytes:
    """What litert-torch writes, its tensors still named by their whole paths."""
    small = reference.resized((SIDE, SIDE))
    spec = GraphSpec(small.input(Input.IMAGE), small.output(), card(small.preprocess, small.labels))
    rewrites = get_target("tflite").rewrites(ExportOptions(Precision.INT8))
    return convert(deploy_graph(small.model, rewrites, preprocess=small.preprocess), spec)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (2, 1, SIDE, SIDE, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def content(float_graph: bytes, pictures: list[np.ndarray]) -> bytes:
    return quantized(float_graph, Precision.INT8, pictures)


class TestRecipe:
    def test_products_and_convolutions_compute_in_8_bits(self, content: bytes) -> None:
        nodes = [node for node in nodes_of(content) if node.kind in (*WEIGHTED, "BATCH_MATMUL")]
        in_float = [node for node in nodes if not node.in_8_bits]
        assert len(nodes) - len(in_float) > 90
        assert [node.module.rpartition("model.")[2] for node in in_float] == [
            "mobilevit.conv_stem.convolution",
            "classifier",
        ]

    def test_classifier_stores_its_weights_in_8_bits(self, content: bytes) -> None:
        (classifier,) = (node for node in nodes_of(content) if node.module.endswith("classifier"))
        given, weights, _ = classifier.inputs
        assert (given.type, weights.type, classifier.output.type) == (FLOAT32, INT8, FLOAT32)

    def test_softmax_layer_norm_and_residual_sums_stay_float(self, content: bytes) -> None:
        nodes = nodes_of(content)
        softmax = [node for node in nodes if node.kind == "SOFTMAX"]
        norms = [node for node in nodes if "layernorm" in node.module]
        sums = [node for node in nodes if node.kind == "ADD" and "transformer" in node.module.split(".")[-2]]
        assert len(softmax) == 9
        assert len(sums) == 2 * 9
        assert len(norms) > 100
        assert not any(node.in_8_bits for node in (*softmax, *norms, *sums))

    def test_zero_point_of_keys_and_values_is_zero(self, content: bytes) -> None:
        """XNNPACK multiplies activations in 8 bits only so."""
        seconds = [node.inputs[1] for node in nodes_of(content) if node.kind == "BATCH_MATMUL"]
        assert len(seconds) == 2 * 9
        assert {int(tensor.quantization.zeroPoint[0]) for tensor in seconds} == {0}

    @pytest.mark.parametrize(
        "module",
        [
            "encoder.layer.0.layer.0",
            "encoder.layer.1.layer.2.conv_3x3",
            "encoder.layer.2.transformer.layer.1.attention",
            "encoder.layer.3.fusion",
            "encoder.layer.4",
            "conv_1x1_exp",
            "classifier",
        ],
    )
    def test_named_module_stays_float_and_no_other(
        self, float_graph: bytes, pictures: list[np.ndarray], content: bytes, module: str
    ) -> None:
        named = module.replace(".layer.", ".")
        kept = nodes_of(quantized(float_graph, Precision.INT8, pictures, [module]))
        inside = [node for node in kept if f".{named}." in f".{node.module}."]
        assert inside
        assert all(tensor.type == FLOAT32 for node in inside for tensor in (node.inputs[0], node.output))
        assert all(node.inputs[1].type == FLOAT32 for node in inside if node.kind in WEIGHTED)
        before, after = (
            {node.output.name: node.in_8_bits for node in nodes if f".{named}." not in f".{node.module}."}
            for nodes in (nodes_of(content), kept)
        )
        assert sum(before.values()) - sum(after.values()) <= 2  # what only arranges numbers may follow

    def test_gives_the_same_bytes_again(
        self, float_graph: bytes, pictures: list[np.ndarray], content: bytes
    ) -> None:
        assert quantized(float_graph, Precision.INT8, pictures) == content


class TestInt8File:
    @pytest.mark.parametrize("factor", [0.5, 2])
    def test_wrong_scale_is_caught(
        self, exported: Callable[..., Exported], reference: Reference, tmp_path: Path, factor: float
    ) -> None:
        made = exported("tflite", "int8")
        model = read(made.path)
        for tensor in self.weights_and_bias(model, of=b"3/fusion/convolution"):
            tensor.quantization.scale = [factor * float(scale) for scale in tensor.quantization.scale]
        path = tmp_path / "wrong.tflite"
        path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
        artifact, _ = open_artifact(made.path)
        parity = check(replace(artifact, path=path), get_target("tflite"), reference)
        assert parity.verdict == "fail"
        assert any("SQNR" in reason for reason in parity.reasons)

    @staticmethod
    def weights_and_bias(model: Any, of: bytes) -> list[Any]:
        """Constants of the convolution that writes the tensor named ``of``."""
        (graph,) = model.subgraphs
        (node,) = (
            node
            for node in graph.operators
            if flatbuffer_utils.opcode_to_name(model, node.opcodeIndex) == "CONV_2D"
            and graph.tensors[node.outputs[0]].name == of
        )
        return [graph.tensors[place] for place in node.inputs[1:]]

    def test_keras_converters_refuse(self, reference: Reference, tmp_path: Path) -> None:
        pytest.importorskip("tensorflow")
        with pytest.raises(ExportError, match="'keras' does not write int8"):
            export(reference, target="tflite", precision="int8", converter="keras", output=tmp_path)
