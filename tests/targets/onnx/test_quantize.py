from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.model.graph import deploy_graph
from mobilevit_deploy.pipeline import Exported, check
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.quantize.calibration import Calibration
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, get_target

WEIGHTED = ("Conv", "Gemm")
EIGHT_BIT = ["int8", "int8-dynamic", "int8-weights"]

Write = Callable[..., onnx.ModelProto]
Export = Callable[..., Exported]


@pytest.fixture(scope="session")
def write(exported: Export, reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write the bundled model once more, with other modules in float, from two calibration pictures."""
    card = get_target("onnx").describe(exported("onnx").path).card
    assert card is not None
    spec = GraphSpec(reference.input(Input.TENSOR), reference.output(), card)
    random = np.random.default_rng(0)
    pictures = tuple(random.random((2, *spec.input.shape), np.float32))

    def written(*float_modules: str) -> onnx.ModelProto:
        options = ExportOptions(
            Precision.INT8, calibration=Calibration(pictures, "noise"), float_modules=float_modules
        )
        target = get_target("onnx")
        graph = deploy_graph(reference.model, target.rewrites(options))
        out = tmp_path_factory.mktemp("written") / "written.onnx"
        target.export(graph, spec, options, out)
        assert [path.name for path in out.parent.iterdir()] == ["written.onnx"]
        return onnx.load(out)

    return written


@pytest.fixture(scope="session")
def int8(exported: Export) -> onnx.ModelProto:
    return onnx.load(exported("onnx", "int8").path)


class TestFp16:
    def test_holds_no_float32_number(self, exported: Export) -> None:
        model = onnx.load(exported("onnx", "fp16").path)
        types = Counter(weight.data_type for weight in model.graph.initializer)
        assert types[TensorProto.FLOAT16] > 100
        # The two ends and the factors of Resize, which ONNX has in float32 only.
        assert all(
            weight.dims[0] <= 4 for weight in model.graph.initializer if weight.data_type == TensorProto.FLOAT
        )

    def test_is_half_as_large(self, exported: Export) -> None:
        half, whole = (exported("onnx", precision).path.stat().st_size for precision in ("fp16", "fp32"))
        assert half < 0.52 * whole

    @pytest.mark.parametrize("kind", list(Input))
    def test_inputs_and_outputs_keep_their_types(self, exported: Export, kind: Input) -> None:
        half, whole = (exported("onnx", p, input=kind).manifest for p in ("fp16", "fp32"))
        assert (half.inputs, half.outputs) == (whole.inputs, whole.outputs)


class TestInt8:
    def test_runtime_makes_8_bit_operators_of_all_convolutions_and_linear_layers(
        self, exported: Export, tmp_path: Path
    ) -> None:
        made = Counter(node.op_type for node in onnx.load(exported("onnx", "fp32").path).graph.node)
        runs = optimised(exported("onnx", "int8").path, tmp_path)
        assert (runs["QLinearConv"], runs["QGemm"]) == (made["Conv"], made["Gemm"])
        assert runs["QLinearSigmoid"] == made["Sigmoid"]
        assert runs["QLinearMul"] == made["Sigmoid"] - 1  # the last one's result is averaged in float

    def test_each_channel_has_its_own_scale(self, int8: onnx.ModelProto) -> None:
        for node in weighted(int8):
            levels, scale = rounded_weight(int8, node)
            assert levels.dtype == np.int8
            assert scale.shape == levels.shape[:1]
            assert np.abs(levels.reshape(len(levels), -1).astype(int)).max(axis=1).min() == 127

    def test_attention_and_sums_of_tokens_stay_float(self, int8: onnx.ModelProto) -> None:
        makers = {name: node for node in int8.graph.node for name in node.output}
        kinds = ("MatMul", "Softmax", "LayerNormalization")
        float_only = [node for node in int8.graph.node if node.op_type in kinds]
        assert float_only
        for node in float_only:
            assert makers[node.input[0]].op_type not in ("DequantizeLinear", "QuantizeLinear"), node.name

    def test_logits_are_not_rounded(self, int8: onnx.ModelProto) -> None:
        (maker,) = [node for node in int8.graph.node if "logits" in node.output]
        assert maker.op_type == "Gemm"

    def test_named_modules_stay_float(self, write: Write) -> None:
        modules = ("conv_stem", "encoder.layer.3.transformer.layer.1.attention", "classifier")
        model = write(*modules)
        types = {weight.name: weight.data_type for weight in model.graph.initializer}
        for name, kind in types.items():
            if name.endswith(("convolution.weight", "dense.weight", "query.weight", "classifier.weight")):
                inside = any(f".{module}." in f".{name}" for module in modules)
                assert kind == (TensorProto.FLOAT if inside else TensorProto.INT8), name
        assert types["mobilevit.encoder.layer.3.transformer.layer.1.attention.attention.query.weight"] == 1

    def test_the_same_model_gives_the_same_bytes(self, write: Write) -> None:
        assert write().SerializeToString() == write().SerializeToString()

    def test_wrong_scale_is_caught(self, exported: Export, reference: Reference, tmp_path: Path) -> None:
        path = exported("onnx", "int8").path
        model = onnx.load(path)
        (scale,) = [weight for weight in model.graph.initializer if weight.name == "conv2d_1_w_scale"]
        scale.CopyFrom(numpy_helper.from_array(4 * numpy_helper.to_array(scale), scale.name))
        onnx.save(model, tmp_path / "wrong.onnx")
        parity = check(
            replace(open_artifact(path)[0], path=tmp_path / "wrong.onnx"), get_target("onnx"), reference
        )
        assert parity.verdict == "fail"


@pytest.mark.parametrize("precision", EIGHT_BIT)
class TestEightBitFiles:
    def test_hold_each_weight_in_one_byte(self, exported: Export, precision: str) -> None:
        whole, small = (onnx.load(exported("onnx", p).path) for p in ("fp32", precision))
        needed = sum(weight.ByteSize() for weight in whole.graph.initializer) / 4
        assert small.ByteSize() < 1.35 * needed

    def test_have_only_operators_of_onnx_itself(self, exported: Export, precision: str) -> None:
        model = onnx.load(exported("onnx", precision).path)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        assert {node.domain for node in model.graph.node} == {""}
        onnx.checker.check_model(model, full_check=True)


class TestInt8Weights:
    def test_runtime_runs_what_it_runs_in_float32(self, exported: Export, tmp_path: Path) -> None:
        whole, small = (optimised(exported("onnx", p).path, tmp_path) for p in ("fp32", "int8-weights"))
        assert small == whole


class TestInt8Dynamic:
    def test_linear_layers_are_multiplied_in_8_bits_and_convolutions_in_float(
        self, exported: Export, tmp_path: Path
    ) -> None:
        made = Counter(node.op_type for node in onnx.load(exported("onnx").path).graph.node)
        runs = optimised(exported("onnx", "int8-dynamic").path, tmp_path)
        assert runs["DynamicQuantizeMatMul"] + runs["MatMulIntegerToFloat"] == made["Gemm"]
        assert runs["Conv"] + runs["FusedConv"] == made["Conv"]
        assert not {"ConvInteger", "Gemm", "DequantizeLinear"} & set(runs)


def optimised(path: Path, folder: Path) -> Counter[str]:
    """The operators that ONNX Runtime makes of a file's."""
    out = folder / f"optimised-{path.name}"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(out).graph.node)


def weighted(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in WEIGHTED]


def rounded_weight(model: onnx.ModelProto, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray]:
    """What a weight is dequantised from."""
    makers = {name: maker for maker in model.graph.node for name in maker.output}
    constants = {weight.name: weight for weight in model.graph.initializer}
    levels, scale, *_ = (numpy_helper.to_array(constants[name]) for name in makers[node.input[1]].input)
    return levels, scale
