"""What ONNX Runtime's providers take, on graphs made by hand: each breaks one rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.inspection import Delegation, Inspection
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.target import get_target

FLOAT, UINT8, INT8 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8
Make = Callable[..., Path]


def inspected(path: Path) -> Inspection:
    return get_target("onnx").inspect(path)


def delegation(path: Path, accelerator: str) -> Delegation:
    return inspected(path).only(accelerator).delegations[0]


def rules(found: Delegation) -> list[str]:
    return [finding.rule for finding in found.findings]


@pytest.fixture
def model(tmp_path: Path) -> Make:
    """A file with ``nodes`` from ``x`` to ``y``."""

    def make(
        *nodes: onnx.NodeProto,
        shape: tuple[Any, ...] = (1, 4, 8, 8),
        dtype: int = FLOAT,
        made: int = FLOAT,
        **stored: np.ndarray,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "made by hand",
            [helper.make_tensor_value_info("x", dtype, shape)],
            [helper.make_tensor_value_info("y", made, None)],
            [numpy_helper.from_array(array, name) for name, array in stored.items()],
        )
        path = tmp_path / "small.onnx"
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return path

    return make


def conv(*inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", list(inputs), ["y"], **attributes)


WEIGHTS = np.ones((6, 4, 3, 3), np.float32)


class TestCounts:
    def test_of_a_convolution(self, model: Make) -> None:
        found = inspected(model(conv("x", "w", "b", pads=[1] * 4), w=WEIGHTS, b=np.ones(6, np.float32)))
        assert found.operators == {"Conv": 1}
        assert found.parameters == 6 * 4 * 9 + 6
        assert found.multiply_adds == 6 * 8 * 8 * 4 * 9
        assert found.peak_activation_bytes == (4 + 6) * 64 * 4

    def test_of_quantised_weights_neither_scales_nor_zero_points_count(self, model: Make) -> None:
        path = model(
            helper.make_node("DequantizeLinear", ["w", "s", "z"], ["floats"], axis=0),
            conv("x", "floats"),
            w=WEIGHTS.astype(np.int8),
            s=np.ones(6, np.float32),
            z=np.zeros(6, np.int8),
        )
        found = inspected(path)
        assert found.parameters == 6 * 4 * 9
        assert found.multiply_adds == 6 * 6 * 6 * 4 * 9
        assert found.peak_activation_bytes == (4 * 64 + 6 * 36) * 4

    @pytest.mark.parametrize(("transposed", "expected"), [(0, 8 * 6 * 4), (1, 4 * 6 * 8)])
    def test_of_a_matrix_product(self, model: Make, transposed: int, expected: int) -> None:
        node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=transposed)
        weights = np.ones((8 if transposed else 4, 6), np.float32)
        assert inspected(model(node, shape=(8, 4), w=weights)).multiply_adds == expected

    def test_of_open_sizes_says_so(self, model: Make) -> None:
        found = inspected(model(conv("x", "w"), shape=("batch", 4, 8, 8), w=WEIGHTS))
        assert any("open" in note for note in found.notes)
        assert found.multiply_adds == 6 * 6 * 6 * 4 * 9


class TestProviders:
    def test_small_picture_network_runs_anywhere(self, model: Make) -> None:
        found = inspected(model(conv("x", "w"), w=WEIGHTS))
        assert found.full
        assert [one.accelerator for one in found.delegations] == [
            "cpu",
            "nnapi",
            "coreml-mlprogram",
            "coreml-neuralnetwork",
        ]
        assert all(one.partitions == 1 and not one.findings for one in found.delegations)

    def test_kind_that_is_not_listed(self, model: Make) -> None:
        found = delegation(model(helper.make_node("Det", ["x"], ["y"])), "nnapi")
        assert (found.taken, found.total) == (0, 1)
        assert rules(found) == ["The operator is one of the kinds that the provider has."]
        assert found.findings[0].source.endswith("nnapi_supported_ops.md")

    @pytest.mark.parametrize("accelerator", ["nnapi", "coreml-mlprogram", "coreml-neuralnetwork"])
    def test_open_sizes(self, model: Make, accelerator: str) -> None:
        found = delegation(model(conv("x", "w"), shape=("batch", 4, 8, 8), w=WEIGHTS), accelerator)
        assert not found.full
        assert rules(found)[0].startswith("Sizes are fixed")

    def test_six_axes(self, model: Make) -> None:
        found = delegation(
            model(helper.make_node("Sigmoid", ["x"], ["y"]), shape=(1, 2, 2, 2, 2, 2)), "coreml-mlprogram"
        )
        assert not found.full

    def test_three_dimensional_convolution(self, model: Make) -> None:
        node, weights = conv("x", "w"), np.ones((6, 4, 3, 3, 3), np.float32)
        found = delegation(model(node, shape=(1, 4, 8, 8, 8), w=weights), "nnapi")
        assert not found.full
        assert rules(found) == ["Conv: Only 2D Conv is supported."]

    def test_one_dimensional_convolution_is_for_core_ml(self, model: Make) -> None:
        path = model(conv("x", "w"), shape=(1, 4, 8), w=np.ones((6, 4, 3), np.float32))
        assert delegation(path, "coreml-mlprogram").full
        assert not delegation(path, "nnapi").full

    def test_computed_weights(self, model: Make) -> None:
        node = helper.make_node("Conv", ["x", "x"], ["y"])
        found = delegation(model(node, shape=(4, 4, 8, 8)), "nnapi")
        assert rules(found) == ["Conv: Weights and bias should be constant."]

    def test_condition_on_an_attribute_is_left_to_the_reader(self, model: Make) -> None:
        node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD")
        found = delegation(model(node), "nnapi")
        assert found.full
        assert [finding.refused for finding in found.findings] == [False]

    @pytest.mark.parametrize("accelerator", ["nnapi", "coreml-mlprogram", "coreml-neuralnetwork"])
    def test_picture_of_bytes(self, model: Make, accelerator: str) -> None:
        found = delegation(model(helper.make_node("Cast", ["x"], ["y"], to=FLOAT), dtype=UINT8), accelerator)
        assert not found.full

    def test_inputs_that_are_left_out_have_no_open_sizes(self, model: Make) -> None:
        node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")
        found = delegation(model(node, scales=np.array([1, 1, 2, 2], np.float32)), "coreml-mlprogram")
        assert found.full
        (finding,) = found.findings
        assert finding.rule.startswith("Resize: See resize_op_builder.cc")

    def test_quantised_operators_are_for_nnapi(self, model: Make) -> None:
        scale = {"s": np.float32(0.1), "z": np.int8(0)}
        path = model(
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
            **{name: np.array(value) for name, value in scale.items()},
        )
        assert delegation(path, "nnapi").full
        assert delegation(path, "coreml-mlprogram").taken == 0

    def test_unknown_operator_is_the_runtimes_refusal(self, model: Make) -> None:
        path = model(helper.make_node("Magic", ["x"], ["y"], domain="com.example"))
        found = inspected(path)
        assert found.operators == {"com.example.Magic": 1}
        assert [one.taken for one in found.delegations] == [0, 0, 0, 0]
        assert "Magic" in found.delegations[0].findings[0].rule

    @pytest.mark.parametrize("accelerator", ["nnapi", "coreml-mlprogram"])
    def test_pieces_are_those_that_the_checker_counts(
        self, exported: Callable[..., Exported], accelerator: str
    ) -> None:
        from mobilevit_deploy.targets.onnx.providers import offered
        from onnxruntime.tools.mobile_helpers import usability_checker

        path = exported("onnx", input="tensor").path
        graph = offered(path)
        if accelerator == "nnapi":
            told = usability_checker.check_nnapi_partitions(graph, True)
        else:
            told = usability_checker.check_coreml_partitions(graph, True, "coreml_supported_mlprogram_ops.md")
        found = delegation(path, accelerator)
        assert (found.taken, found.total) == (told.num_supported_nodes, told.num_nodes)
        assert found.partitions == told.num_partitions


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"cut\.onnx"):
        inspected(path)
