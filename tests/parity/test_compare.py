"""The verdict: what passes, what fails, and with which reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.parity import metrics
from mobilevit_deploy.parity.compare import compare
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.parity.tolerance import FP16, FP32, Tolerance

CLASSES = 10
LOGITS = TensorSpec(name="logits", shape=(1, CLASSES), dtype="float32", layout="NC")
RNG = np.random.default_rng(0)
REFERENCE = [RNG.normal(size=(1, CLASSES)).astype(np.float32) * 5 for _ in range(4)]


def judge(
    produced: list[np.ndarray],
    *,
    reference: list[np.ndarray] = REFERENCE,
    tolerance: Tolerance = FP32,
    last: str = "picture-3",
) -> ParityResult:
    names = [*(f"picture-{i}" for i in range(len(reference) - 1)), last]
    return compare(
        [LOGITS],
        names,
        [(array,) for array in reference],
        [(array,) for array in produced],
        tolerance=tolerance,
        engine="test",
    )


def changed(case: int, change: np.ndarray | float) -> list[np.ndarray]:
    return [
        (array + change).astype(np.float32) if i == case else array.copy()
        for i, array in enumerate(REFERENCE)
    ]


def test_equal_outputs_pass_and_every_metric_is_there() -> None:
    result = judge(REFERENCE)
    assert result.passed
    (output,) = result.outputs
    assert (output.max_abs_error, output.top1_agreement, output.sqnr_db) == (0, 1, float("inf"))
    assert len(output.cases) == len(REFERENCE)


def test_one_wrong_input_of_many_fails_and_is_named() -> None:
    result = judge(changed(2, np.eye(1, CLASSES) * 0.1))
    assert result.verdict == "fail"
    assert "worst on picture-2" in result.reasons[0]


def test_metrics_are_complete_on_failure() -> None:
    assert len(judge(changed(0, 1.0)).outputs[0].cases) == len(REFERENCE)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("case", range(4))
def test_nan_and_inf_fail_wherever_they_are(poison: float, case: int) -> None:
    result = judge(changed(case, np.where(np.eye(1, CLASSES), poison, 0)), tolerance=Tolerance(min_top1=0))
    assert result.verdict == "fail"
    assert f"picture-{case} holds NaN or Inf" in result.reasons[0]


def test_nan_fails_every_bound() -> None:
    result = judge(changed(3, np.nan), tolerance=Tolerance(max_error=1, min_cosine=-1, min_sqnr_db=-999))
    assert sum("exceeds" in reason or "below" in reason for reason in result.reasons) == 3


def test_output_of_another_shape_fails_without_being_compared() -> None:
    result = judge([array[:, :5] for array in REFERENCE])
    assert result.verdict == "fail"
    assert result.outputs == ()
    assert "[1, 5]" in result.reasons[0]


def test_output_of_another_dtype_than_the_manifest_says_fails() -> None:
    result = judge([array.astype(np.float64) for array in REFERENCE])
    assert result.verdict == "fail"
    assert "float64" in result.reasons[0]


def test_changed_best_class_fails_even_where_errors_are_allowed() -> None:
    nearly_tied = [np.array([[1.0, 1.2, *range(-8, 0)]], np.float32)] * 2
    nearly_tied[1] = nearly_tied[1] * 2
    other = [array[:, [1, 0, *range(2, CLASSES)]] for array in nearly_tied]
    result = judge(other, reference=nearly_tied, tolerance=Tolerance(min_sqnr_db=30, tie=1e-2))
    assert result.verdict == "fail"
    assert "best class agrees on 0.00%" in result.reasons[0]


@pytest.mark.parametrize(("margin", "verdict"), [(1e-5, "pass"), (1e-3, "fail")])
def test_classes_that_tie_in_the_reference_may_change_places(margin: float, verdict: str) -> None:
    """Which of two equal classes comes first is rounding's choice; a clear second place is not."""
    tied = [np.array([[10.0, 10.0 + 20 * margin, *range(-10, -2)]], np.float32), REFERENCE[0]]
    other = [array.copy() for array in tied]
    other[0][0, 1] = 10.0 - 1e-4
    result = judge(other, reference=tied, tolerance=Tolerance(tie=2e-4))
    assert result.verdict == verdict
    assert result.outputs[0].cases[0].top1_artifact != result.outputs[0].cases[0].top1_reference


def test_noise_is_measured_against_all_inputs_not_a_flat_one() -> None:
    """A black picture's logits hardly spread; the same error is no worse there than elsewhere."""
    reference = [*REFERENCE[:3], REFERENCE[3] / 100]
    noise = RNG.normal(size=(1, CLASSES)).astype(np.float32) / 100
    result = judge([array + noise for array in reference], reference=reference, tolerance=FP16)
    ratios = [case.sqnr_db for case in result.outputs[0].cases]
    assert ratios == pytest.approx([ratios[0]] * 4, abs=0.01)
    assert ratios[0] > 40


class TestExtremes:
    """Black, white and noise leave what 8 bits were calibrated on, and have a bound of their own."""

    TOLERANCE = Tolerance(min_sqnr_db=20, min_extremes_sqnr_db=5, min_top1=0)
    NOISE = RNG.normal(size=(1, CLASSES)).astype(np.float32)  # some 10 dB below the signal

    def test_an_error_that_fails_a_picture_passes_there(self) -> None:
        assert judge(changed(3, self.NOISE), tolerance=self.TOLERANCE, last="black").passed
        assert not judge(changed(3, self.NOISE), tolerance=self.TOLERANCE).passed

    def test_their_own_bound_holds(self) -> None:
        result = judge(changed(3, 4 * self.NOISE), tolerance=self.TOLERANCE, last="white")
        (reason,) = result.reasons
        assert reason.startswith("logits: SQNR -")
        assert reason.endswith("dB on white is below 5 dB")

    def test_without_one_they_are_held_to_that_of_pictures(self) -> None:
        assert not judge(changed(3, self.NOISE), tolerance=Tolerance(min_sqnr_db=20), last="black").passed

    def test_figures_are_told_apart(self) -> None:
        (output,) = judge(changed(3, self.NOISE), last="saturated-noise").outputs
        assert output.sqnr_db == float("inf")
        assert output.extremes_sqnr_db == output.cases[3].sqnr_db

    def test_logits_far_stronger_than_those_of_pictures_are_their_own_measure(self) -> None:
        reference = [*REFERENCE[:3], REFERENCE[3] * 100]
        produced = [*REFERENCE[:3], reference[3] + 10 * self.NOISE]
        (output,) = judge(produced, reference=reference, last="saturated-noise").outputs
        assert output.extremes_sqnr_db == pytest.approx(metrics.sqnr_db(reference[3], produced[3]))

    def test_nan_fails(self) -> None:
        result = judge(changed(3, np.nan), tolerance=self.TOLERANCE, last="black")
        assert any("nan dB on black" in reason for reason in result.reasons)


def test_dead_reference_is_refused() -> None:
    """Untrained transformers weights give logits of 1e-41; everything matches them."""
    dead = [(1e-41 * RNG.normal(size=(1, CLASSES))).astype(np.float32) for _ in range(3)]
    result = judge(dead, reference=dead)
    assert result.verdict == "fail"
    assert "no spread" in result.reasons[0]


def test_reference_that_ignores_its_input_is_refused() -> None:
    constant = [REFERENCE[0]] * 3
    result = judge(constant, reference=constant)
    assert result.verdict == "fail"
    assert "same for every input" in result.reasons[0]


@given(relative=st.floats(1e-7, 1e-2))
def test_bound_on_the_error_is_where_it_says(relative: float) -> None:
    spread = float(np.ptp(REFERENCE[1]))
    result = judge(changed(1, np.eye(1, CLASSES) * relative * spread), tolerance=Tolerance(max_error=1e-4))
    if relative < 0.98e-4 or relative > 1.02e-4:
        assert result.passed == (relative < 1e-4)


def test_result_survives_json_with_infinities_and_nan() -> None:
    for result in (judge(REFERENCE), judge(changed(0, np.nan))):
        again = ParityResult.model_validate_json(result.model_dump_json())
        assert again.model_dump_json() == result.model_dump_json()


class TestSegmentation:
    """Outputs with a decision a pixel."""

    SIZE = (32, 48)
    MAPS = TensorSpec(name="logits", shape=(1, 4, 6, 3), dtype="float32", layout="NHWC")
    MASK = TensorSpec(name="mask", shape=(1, 32, 48), dtype="int32", layout="NHW")
    SCORES = tuple(RNG.normal(size=(1, 4, 6, 3)).astype(np.float32) * 5 for _ in range(3))
    MASKS = tuple(RNG.integers(0, 3, size=(1, 32, 48)).astype(np.int32) for _ in range(3))

    def judge(
        self, spec: TensorSpec, reference: list[np.ndarray], produced: list[np.ndarray]
    ) -> ParityResult:
        return compare(
            [spec],
            [f"picture-{i}" for i in range(len(reference))],
            [(array,) for array in reference],
            [(array,) for array in produced],
            tolerance=FP32,
            engine="test",
            image_size=self.SIZE,
        )

    def test_logits_are_measured_and_their_pixels_counted(self) -> None:
        result = self.judge(self.MAPS, list(self.SCORES), [array * 1.000001 for array in self.SCORES])
        assert result.passed, result.reasons
        (output,) = result.outputs
        assert output.decides == "pixels"
        assert output.top1_agreement == 1
        assert output.max_error is not None
        assert output.cases[0].top1_reference is None

    def test_class_numbers_have_no_error_only_agreement(self) -> None:
        result = self.judge(self.MASK, list(self.MASKS), list(self.MASKS))
        assert result.passed
        assert result.outputs[0].max_error is result.outputs[0].sqnr_db is None
        assert ParityResult.model_validate_json(result.model_dump_json()) == result

    @pytest.mark.parametrize(("wrong", "verdict"), [(4, "pass"), (6, "fail")])
    def test_one_pixel_in_a_thousand_may_differ(self, wrong: int, verdict: str) -> None:
        produced = [mask.copy() for mask in self.MASKS]
        flat = produced[1].reshape(-1)
        flat[:wrong] = (flat[:wrong] + 1) % 3  # of 3 * 1536 pixels
        result = self.judge(self.MASK, list(self.MASKS), produced)
        assert result.verdict == verdict
        assert all("picture-1" in reason and "of pixels" in reason for reason in result.reasons)

    def test_swapped_classes_are_caught(self) -> None:
        result = self.judge(self.MAPS, list(self.SCORES), [array[..., [1, 0, 2]] for array in self.SCORES])
        assert not result.passed
        assert any("of pixels" in reason for reason in result.reasons)

    def test_reference_that_gives_every_picture_the_same_mask_is_refused(self) -> None:
        same = [self.MASKS[0]] * 3
        result = self.judge(self.MASK, same, same)
        assert "same for every input" in result.reasons[0]
