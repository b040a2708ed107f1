from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from mobilevit_deploy.artifact import digest, manifest_path
from mobilevit_deploy.choices import export_options
from mobilevit_deploy.model.graph import deploy_graph
from mobilevit_deploy.pipeline import Exported, _graph_spec, verify
from mobilevit_deploy.quantize import inside
from mobilevit_deploy.quantize.calibration import Calibration
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import get_target

STEM = "conv_stem"
aten = torch.ops.aten

Quantise = Callable[..., ExportedProgram]


@pytest.fixture(scope="module")
def quantise(reference: Reference) -> Quantise:
    """Quantise the bundled model at a size so small that tracing is all it costs; nothing is lowered."""
    small = reference.resized((32, 32))

    def make(*float_modules: str, precision: str = "int8") -> ExportedProgram:
        from mobilevit_deploy.targets.executorch.quantize import exported

        target = get_target("executorch")
        options = export_options(target, precision)
        spec = _graph_spec(small, options)
        noise = np.random.default_rng(0).integers(0, 256, (2, *spec.input.shape), dtype=np.uint8)
        options = replace(
            options, calibration=Calibration(tuple(noise), "noise"), float_modules=float_modules
        )
        graph = deploy_graph(small.model, target.rewrites(options), preprocess=small.preprocess)
        return exported(graph, spec, options)

    return make


@pytest.fixture(scope="module")
def mixed(quantise: Quantise) -> ExportedProgram:
    return quantise()


class TestInt8:
    def test_every_convolution_but_the_stem_multiplies_8_bits(self, mixed: ExportedProgram) -> None:
        floats, whole = _products(mixed, aten.conv2d.default)
        assert len(whole) == 34
        assert all(STEM in path for path in floats)
        assert len(floats) == 1

    def test_every_linear_layer_but_layer_norms_means_multiplies_8_bits(self, mixed: ExportedProgram) -> None:
        floats, whole = _products(mixed, aten.linear.default)
        assert len(whole) == 9 * 6 + 1
        assert all("layernorm" in path for path in floats)

    def test_a_modules_name_keeps_it_in_floating_point_and_nothing_else(
        self, quantise: Quantise, mixed: ExportedProgram
    ) -> None:
        stay = ("encoder.layer.3.fusion", "encoder.layer.4.transformer.layer.0", "classifier")
        floats, whole = _products(quantise(*stay), aten.conv2d.default, aten.linear.default)
        before_floats, before_whole = _products(mixed, aten.conv2d.default, aten.linear.default)
        moved = [path for path in before_whole if inside(path, stay)]
        assert len(moved) == 1 + 6 + 1
        assert sorted(floats) == sorted(before_floats + moved)
        assert sorted(whole) == sorted(set(before_whole) - set(moved))

    def test_classifier_alone_quantises_on_the_fly(self, mixed: ExportedProgram) -> None:
        (found,) = [node for node in mixed.graph.nodes if "choose_qparams" in str(node.target)]
        (logits,) = next(iter(reversed(mixed.graph.nodes))).args[0]
        assert logits.target == aten.linear.default
        assert found.args[0].target != aten.linear.default

    def test_range_before_a_silu_ends_where_it_gives_nothing(self) -> None:
        from mobilevit_deploy.targets.executorch.quantize import BeforeSilu

        seen = BeforeSilu(dtype=torch.int8, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine)
        seen(torch.tensor([-40.0, 6.0]))
        scale, zero = seen.calculate_qparams()
        low = float((-128 - zero) * scale)
        assert -7 < low < -4
        step = (6 + 0.2785) / 255
        assert abs(torch.nn.functional.silu(torch.tensor(low))) <= step / 2

    def test_range_before_a_silu_that_lies_inside_is_kept(self) -> None:
        from mobilevit_deploy.targets.executorch.quantize import BeforeSilu

        seen = BeforeSilu(dtype=torch.int8, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine)
        seen(torch.tensor([-1.5, 6.0]))
        scale, zero = seen.calculate_qparams()
        assert float((-128 - zero) * scale) == pytest.approx(-1.5, abs=float(scale))


class TestInt8File:
    def test_is_one_delegate(
        self, exported: Callable[..., Exported], steps: Callable[[Path], list[str]]
    ) -> None:
        path = exported("executorch", "int8").path
        assert steps(path) == ["dim_order_ops::_to_dim_order_copy.out", "XnnpackBackend"]

    def test_holds_8_bits_a_weight(self, exported: Callable[..., Exported], reference: Reference) -> None:
        weights = sum(parameter.numel() for parameter in reference.model.parameters())
        assert weights < exported("executorch", "int8").manifest.bytes < 1.4 * weights

    def test_xnnpack_computes_sigmoids_in_8_bits(
        self, exported: Callable[..., Exported], delegated: Callable[[Path], Any]
    ) -> None:
        graph = delegated(exported("executorch", "int8").path)
        types = _types(graph)
        found = Counter(
            types[node["xnode_union"]["input_id"]]
            for node in graph["xnodes"]
            if node["xnode_union_type"] == "XNNSigmoid"
        )
        assert found["xnn_datatype_qint8"] == 33
        assert found["xnn_datatype_fp32"] == 1  # the stem's

    def test_wrong_scale_is_caught(self, artifact_copy: Callable[..., Path]) -> None:
        path = artifact_copy("executorch", "int8")
        assert verify(path).passed
        _double_a_scale(path)
        assert verify(path).verdict == "fail"


class TestDynamic:
    def test_every_linear_layer_quantises_its_input_on_the_fly(self, quantise: Quantise) -> None:
        program = quantise(precision="int8-dynamic")
        floats, whole = _products(program, aten.linear.default)
        assert len(whole) == 9 * 6 + 1
        assert all("layernorm" in path for path in floats)
        assert not _products(program, aten.conv2d.default)[1]
        chosen = sum("choose_qparams" in str(node.target) for node in program.graph.nodes)
        assert chosen > 0

    def test_xnnpack_computes_all(
        self, exported: Callable[..., Exported], steps: Callable[[Path], list[str]]
    ) -> None:
        cast, *rest = steps(exported("executorch", "int8-dynamic").path)
        assert cast == "dim_order_ops::_to_dim_order_copy.out"
        assert set(rest) == {"XnnpackBackend"}


class TestHalf:
    def test_xnnpack_computes_in_half_precision_throughout(
        self, exported: Callable[..., Exported], delegated: Callable[[Path], Any]
    ) -> None:
        tensors = [_tensor(value) for value in delegated(exported("executorch", "fp16").path)["xvalues"]]
        computed = {tensor["datatype"] for tensor in tensors if not tensor.get("constant_buffer_idx")}
        assert computed == {"xnn_datatype_fp16"}

    def test_casts_lie_at_the_ends(
        self, exported: Callable[..., Exported], steps: Callable[[Path], list[str]]
    ) -> None:
        cast = "dim_order_ops::_to_dim_order_copy.out"
        assert steps(exported("executorch", "fp16").path) == [cast, "XnnpackBackend", cast]

    def test_file_holds_linear_layers_in_half_the_bytes(
        self, exported: Callable[..., Exported], reference: Reference
    ) -> None:
        """XNNPACK takes a convolution's weights in float32 alone, and rounds them as it loads."""
        whole, half = (exported("executorch", precision).manifest.bytes for precision in ("fp32", "fp16"))
        layers = [layer for layer in reference.model.modules() if isinstance(layer, nn.Linear)]
        saved = sum(2 * layer.weight.numel() for layer in layers)
        assert whole - half == pytest.approx(saved, rel=0.05)

    def test_mask_keeps_its_type(self, segmented: Callable[..., Exported]) -> None:
        manifest = segmented("executorch", "fp16", argmax=True).manifest
        assert manifest.parity.passed, manifest.parity.reasons
        assert manifest.outputs[0].dtype == "int32"


def _products(program: ExportedProgram, *kinds: Any) -> tuple[list[str], list[str]]:
    """Paths of the modules that multiply with floating-point weights, and with 8-bit ones."""
    floats, whole = [], []
    for node in program.graph.nodes:
        if node.target in kinds:
            path = list(node.meta["nn_module_stack"].values())[-1][0]
            (whole if "dequantize" in str(node.args[1].target) else floats).append(path)
    return floats, whole


def _types(graph: Any) -> dict[int, str]:
    """Of each tensor of a delegate, its type."""
    tensors = [_tensor(value) for value in graph["xvalues"]]
    return {tensor["id_out"]: tensor["datatype"] for tensor in tensors}


def _tensor(value: Any) -> Any:
    tensor = value["xvalue_union"]
    return tensor.get("tensor_value", tensor)


def _double_a_scale(path: Path) -> None:
    """Double the scales of the first 3x3 convolution's weights, all of one layer, in the file."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    content = path.read_bytes()
    named = deserialize_pte_binary(content).named_data
    assert named is not None
    key = max(
        (key for key in named.pte_data if key.startswith("scale_")),
        key=lambda key: len(named.buffers[named.pte_data[key].buffer_index]),
    )
    scales = bytes(named.buffers[named.pte_data[key].buffer_index])
    wrong = (2 * np.frombuffer(scales, "<f4")).tobytes()
    assert content.count(scales) == 1
    path.write_bytes(content.replace(scales, wrong))
    note = manifest_path(path)
    note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": digest(path)}))
