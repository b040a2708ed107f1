"""What is said of the Neural Engine, on programs made by hand: each breaks one rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.inspection import Delegation, Inspection
from mobilevit_deploy.target import get_target

Build = Callable[..., Any]
Save = Callable[..., Path]


@pytest.fixture
def saved(ct: Any, tmp_path: Path) -> Save:
    """A package whose program is ``body`` on float16 inputs of ``shapes``."""

    def save(body: Callable[..., Any], *shapes: Any, dtype: str = "fp16", opset: str = "iOS17") -> Path:
        from coremltools.converters.mil import Builder as mb  # noqa: N813
        from coremltools.converters.mil.mil import types

        specs = [mb.TensorSpec(shape=shape, dtype=types.string_to_builtin(dtype)) for shape in shapes]
        program = mb.program(input_specs=specs, opset_version=getattr(ct.target, opset))(body)
        model = ct.convert(
            program,
            minimum_deployment_target=getattr(ct.target, opset),
            skip_model_load=True,
            pass_pipeline=ct.PassPipeline.EMPTY,
            compute_precision=ct.precision.FLOAT32,
        )
        path = tmp_path / "small.mlpackage"
        model.save(str(path))
        return path

    return save


@pytest.fixture(scope="session")
def mb(ct: Any) -> Any:
    from coremltools.converters.mil import Builder

    return Builder


def inspected(path: Path) -> Inspection:
    return get_target("coreml").inspect(path)


def neural_engine(path: Path) -> Delegation:
    return inspected(path).only("neural-engine").delegations[0]


def refused(found: Delegation) -> list[str]:
    return [finding.operators[0].kind for finding in found.findings if finding.refused]


WEIGHTS = np.ones((6, 4, 3, 3), np.float16)
PICTURE = (1, 4, 8, 32)


class TestCounts:
    def test_of_a_convolution(self, mb: Any, saved: Save) -> None:
        found = inspected(saved(lambda x: mb.conv(x=x, weight=WEIGHTS, pad_type="same"), PICTURE))
        assert found.operators == {"conv": 1}
        assert found.parameters == 6 * 4 * 9
        assert found.multiply_adds == 6 * 8 * 32 * 4 * 9
        assert found.peak_activation_bytes == (4 + 6) * 8 * 32 * 2

    def test_of_palettised_weights(self, mb: Any, saved: Save) -> None:
        def body(x: Any) -> Any:
            weight = mb.constexpr_lut_to_dense(
                indices=np.zeros(6 * 4 * 9 // 2, np.uint8),
                lut=np.ones(16, np.float16),
                shape=np.array(WEIGHTS.shape, np.uint32),
            )
            return mb.conv(x=x, weight=weight)

        found = inspected(saved(body, PICTURE, opset="iOS16"))
        assert found.operators == {"conv": 1}
        assert found.parameters == 6 * 4 * 9
        assert found.delegations[0].full

    def test_of_weights_in_8_bits(self, mb: Any, saved: Save) -> None:
        def body(x: Any) -> Any:
            weight = mb.constexpr_affine_dequantize(
                quantized_data=WEIGHTS.astype(np.int8),
                zero_point=np.int8(0),
                scale=np.ones(6, np.float16),
                axis=0,
            )
            return mb.conv(x=x, weight=weight)

        found = inspected(saved(body, PICTURE, opset="iOS16"))
        assert (found.operators, found.parameters) == ({"conv": 1}, 6 * 4 * 9)

    def test_of_matrix_products(self, mb: Any, saved: Save) -> None:
        found = inspected(saved(lambda x: mb.matmul(x=x, y=x, transpose_x=True), (1, 5, 3)))
        assert found.multiply_adds == 3 * 3 * 5


class TestNeuralEngine:
    def test_convolutions_in_float16_run_there(self, mb: Any, saved: Save) -> None:
        found = neural_engine(saved(lambda x: mb.silu(x=mb.conv(x=x, weight=WEIGHTS)), PICTURE))
        assert (found.taken, found.total, found.partitions, found.findings) == (2, 2, 1, ())

    def test_float32_does_not(self, mb: Any, saved: Save) -> None:
        found = neural_engine(saved(lambda x: mb.silu(x=x), PICTURE, dtype="fp32"))
        assert refused(found) == ["silu"]
        assert "typed-execution" in found.findings[0].source

    def test_nor_do_five_axes_which_split_the_rest(self, mb: Any, saved: Save) -> None:
        def body(x: Any) -> Any:
            folded = mb.silu(x=mb.reshape(x=mb.relu(x=x), shape=(1, 2, 2, 8, 32)))
            return mb.relu(x=mb.reshape(x=folded, shape=PICTURE))

        found = neural_engine(saved(body, PICTURE))
        assert (found.taken, found.total, found.partitions) == (2, 5, 2)
        assert refused(found) == ["reshape"]

    def test_nor_what_picks_by_computed_indices(self, mb: Any, saved: Save) -> None:
        found = neural_engine(saved(lambda x: mb.topk(x=x, k=2)[0], (1, 12)))
        assert "topk" in refused(found)

    @pytest.mark.filterwarnings("ignore:Some dimensions:UserWarning")
    def test_range_of_sizes_is_a_warning(self, mb: Any, saved: Save) -> None:
        from coremltools.converters.mil.mil import get_new_symbol

        found = inspected(saved(lambda x: mb.relu(x=x), (1, 4, 8, get_new_symbol())))
        assert found.delegations[0].full
        assert found.delegations[0].findings[0].rule.startswith("Sizes are fixed")
        assert any("open" in note for note in found.notes)

    def test_dilated_convolution_is_a_warning(self, mb: Any, saved: Save) -> None:
        found = neural_engine(saved(lambda x: mb.conv(x=x, weight=WEIGHTS, dilations=(2, 2)), PICTURE))
        assert found.full
        assert "dilated" in found.findings[0].rule

    def test_short_last_axis_of_something_large_is_a_warning(self, mb: Any, saved: Save) -> None:
        found = [
            neural_engine(saved(lambda x: mb.relu(x=x), shape)).findings
            for shape in [(1, 8, 64, 64), (1, 1, 64, 8), (1, 64, 64, 8)]
        ]
        assert found[:2] == [(), ()]
        assert "64 bytes" in found[2][0].rule


def test_folder_without_a_program(tmp_path: Path) -> None:
    (tmp_path / "empty.mlpackage").mkdir()
    with pytest.raises(ArtifactError, match="empty"):
        inspected(tmp_path / "empty.mlpackage")
