"""What is in few bits, what is not, and that a wrong number among them is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mobilevit_deploy.targets.coreml.activations import Int8Layer
from mobilevit_deploy.targets.coreml.package import MODEL_FILE, read_package
from mobilevit_deploy.targets.coreml.quantize import prepare
from torch import nn

from mobilevit_deploy.artifact import digest, open_artifact
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.model.graph import deploy_graph
from mobilevit_deploy.pipeline import Exported, check
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.quantize.calibration import Calibration
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, get_target

IOS_16, IOS_17 = 7, 8
PALETTES = [Precision.PALETTE6, Precision.PALETTE4]
Export = Callable[..., Exported]


def layers(package: Path) -> dict[str, Any]:
    """Each convolution and linear layer of the program, by the name of its bias: that of a module."""
    operations = read_package(package).function.operations
    found = [op for op in operations if op.op_type in {"conv", "linear"}]
    return {(op.weight if op.bias is None else op.bias).name: op for op in found}


def in_mobilenet_blocks(name: str) -> bool:
    return name.startswith(("layer_0_", "layer_1_")) or "downsampling" in name


@pytest.fixture(scope="module")
def int8(exported: Export) -> Exported:
    """The bundled classifier in 8 bits."""
    return exported("coreml", "int8")


class TestInt8:
    def test_weights_of_all_dense_layers_are_held_in_8_bits(self, int8: Exported) -> None:
        for name, op in layers(int8.path).items():
            dense = op.op_type == "linear" or bool(op.groups.val == 1)
            held = op.weight.op.op_type == "constexpr_affine_dequantize"
            assert held is (dense and "conv_stem" not in name), name
            assert not held or op.weight.op.quantized_data.val.dtype == np.int8

    def test_products_of_matrices_take_8_bits(self, int8: Exported) -> None:
        for name, op in layers(int8.path).items():
            float_layer = "conv_stem" in name or in_mobilenet_blocks(name) or "classifier" in name
            assert (op.x.op.op_type == "dequantize") is not float_layer, name
            assert float_layer or op.x.op.input.op.op_type == "quantize"

    def test_query_key_and_value_share_one_quantised_tensor(self, int8: Exported) -> None:
        found = layers(int8.path)
        for name, op in found.items():
            if "attention_query" in name:
                others = [found[name.replace("query", kind)] for kind in ("key", "value")]
                assert {other.x.name for other in others} == {op.x.name}

    def test_describe_says_so(self, int8: Exported) -> None:
        details = get_target("coreml").describe(int8.path).details
        assert details["computes in"] == "fp16, int8"
        assert details["runs on"].startswith("iOS 17")

    def test_there_and_back_with_one_scale_and_no_zero_point(self, int8: Exported) -> None:
        for op in read_package(int8.path).function.operations:
            if op.op_type == "dequantize":
                assert op.scale.val == op.input.op.scale.val
                assert op.zero_point is None
                assert op.input.op.zero_point is None

    def test_needs_ios_17(self, int8: Exported) -> None:
        assert read_package(int8.path).specification_version == IOS_17

    def test_a_wrong_scale_is_caught(
        self, ct: Any, artifact_copy: Callable[..., Path], reference: Reference
    ) -> None:
        path = artifact_copy("coreml", "int8")
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString((path / MODEL_FILE).read_bytes())
        (function,) = spec.mlProgram.functions.values()
        (block,) = function.block_specializations.values()
        *others, last = [
            op.inputs["scale"].arguments[0] for op in block.operations if op.type == "dequantize"
        ]
        constants = {
            op.outputs[0].name: op.attributes["val"].immediateValue
            for op in block.operations
            if op.type == "const"
        }
        values = {other.name: float16(constants[other.name]) for other in others}
        last.name = max(values, key=values.__getitem__)
        (path / MODEL_FILE).write_bytes(spec.SerializeToString())
        artifact, _ = open_unchecked(path)
        assert check(artifact, get_target("coreml"), reference).verdict == "fail"


@pytest.mark.parametrize("precision", PALETTES)
class TestPalettes:
    def test_one_palette_a_layer(self, exported: Export, precision: Precision) -> None:
        for name, op in layers(exported("coreml", precision).path).items():
            dense = op.op_type == "linear" or op.groups.val == 1
            if not dense or op.weight.op is None or np.prod(op.weight.shape) < 2048:
                assert op.weight.op.op_type == "const", name
                continue
            pointwise = op.op_type == "conv" and op.weight.shape[2:] == (1, 1)
            entries = 64 if precision is Precision.PALETTE6 or pointwise else 16
            assert op.weight.op.lut.val.shape == (entries,), name

    def test_runs_on_ios_16(self, exported: Export, precision: Precision) -> None:
        assert read_package(exported("coreml", precision).path).specification_version == IOS_16

    def test_activations_stay_in_float16(self, exported: Export, precision: Precision) -> None:
        kinds = {op.op_type for op in read_package(exported("coreml", precision).path).function.operations}
        assert not kinds & {"quantize", "dequantize"}


def test_each_is_smaller_than_the_one_before(exported: Export) -> None:
    order = ["fp32", "fp16", "int8-weights", "palette6", "palette4"]
    sizes = [exported("coreml", precision).manifest.bytes for precision in order]
    assert sizes == sorted(sizes, reverse=True)


KEPT = ("encoder.layer.4.fusion", "encoder.layer.3.transformer.layer.1.attention", "classifier")


@pytest.fixture(scope="module")
def graph(reference: Reference) -> nn.Module:
    """The bundled classifier as it is to be converted, before it is quantised."""
    rewrites = get_target("coreml").rewrites(ExportOptions(Precision.INT8))
    return deploy_graph(reference.model, rewrites)


@pytest.fixture(scope="module", params=[Precision.INT8, Precision.PALETTE4])
def options(request: pytest.FixtureRequest) -> ExportOptions:
    """Two noisy pictures, and some modules that are to stay in floating point."""
    noise = np.random.default_rng(0).random((2, 1, 3, 96, 96), np.float32)
    given = Calibration(tuple(noise), "noise")
    return ExportOptions(request.param, calibration=given, float_modules=KEPT)


@pytest.fixture(scope="module")
def made(graph: nn.Module, options: ExportOptions) -> nn.Module:
    """The graph quantised."""
    return prepare(graph, options)


class TestPreparedGraph:
    """What conversion is given."""

    def test_modules_that_are_named_stay_as_they_were(self, graph: nn.Module, made: nn.Module) -> None:
        kept = {
            name: layer
            for name, layer in graph.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear) and any(f".{path}." in f".{name}." for path in KEPT)
        }
        assert len(kept) == 1 + 4 + 1
        for name, layer in kept.items():
            assert type(made.get_submodule(name)) is type(layer)
            assert torch.equal(made.get_parameter(f"{name}.weight"), layer.weight), name

    def test_their_neighbours_do_not(self, graph: nn.Module, made: nn.Module) -> None:
        layer = "model.mobilevit.encoder.layer.3.transformer.layer.1.intermediate.dense"
        changed = made.get_submodule(layer)
        few = isinstance(changed, nn.Linear) and len(changed.weight.unique()) <= 16
        assert isinstance(changed, Int8Layer) or few
        assert isinstance(graph.get_submodule(layer), nn.Linear)
        assert len(graph.get_parameter(f"{layer}.weight").unique()) > 64

    def test_same_every_time(self, graph: nn.Module, options: ExportOptions, made: nn.Module) -> None:
        again = prepare(graph, options)
        assert scales(again) == scales(made)
        for name, tensor in made.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), name

    def test_without_calibration(self, graph: nn.Module, options: ExportOptions) -> None:
        with pytest.raises(ExportError, match="calibration"):
            prepare(graph, ExportOptions(options.precision))


def scales(graph: nn.Module) -> list[float | None]:
    return [layer.scale for layer in graph.modules() if isinstance(layer, Int8Layer)]


def float16(value: Any) -> float:
    """What a constant's protobuf holds."""
    (number,) = np.frombuffer(value.tensor.bytes.values, np.float16)
    return float(number)


def open_unchecked(path: Path) -> Any:
    """A package that was changed, as if its manifest knew."""
    import json

    note = path.with_name(path.name + ".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": digest(path)}))
    return open_artifact(path)
