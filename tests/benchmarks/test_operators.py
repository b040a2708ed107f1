"""The operators of a file, with their multiply-adds, by two runtimes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from benchmarks.comparison.onnx_operators import onnx_operators
from benchmarks.comparison.operators import Operator
from benchmarks.comparison.tflite_operators import tflite_operators
from benchmarks.operator_profile import table
from mobilevit_deploy.pipeline import Exported


@pytest.fixture(scope="module")
def onnx(exported: Callable[..., Exported]) -> list[Operator]:
    return onnx_operators(exported("onnx").path)


@pytest.fixture(scope="module")
def tflite(exported: Callable[..., Exported]) -> list[Operator]:
    return tflite_operators(exported("tflite").path)


def mega_macs(operators: list[Operator]) -> Counter[str]:
    """Multiply-adds of each group that has any."""
    sums: Counter[str] = Counter()
    for operator in operators:
        if operator.mega_macs:
            sums[operator.group] += operator.mega_macs  # type: ignore[assignment]  # a Counter of floats
    return sums


def test_both_runtimes_do_the_same_multiply_adds(onnx: list[Operator], tflite: list[Operator]) -> None:
    ours, theirs = mega_macs(onnx), mega_macs(tflite)
    for group in ("convolution 3x3", "depthwise convolution 3x3", "linear", "attention product"):
        assert ours[group] == pytest.approx(theirs[group], rel=1e-6), group
    # ONNX Runtime rounds 24 channels up to whole vectors.
    assert theirs["convolution 1x1"] <= ours["convolution 1x1"] <= 4 / 3 * theirs["convolution 1x1"]


def test_every_operator_takes_time(onnx: list[Operator], tflite: list[Operator]) -> None:
    assert all(operator.ms >= 0 for operator in (*onnx, *tflite))
    assert sum(operator.ms for operator in onnx) > 0.1
    assert sum(operator.ms for operator in tflite) > 0.1


def test_speed_is_two_operations_a_multiply_add_over_the_time_and_its_peak() -> None:
    operators = [
        Operator("linear", 1.0, 50.0, eight_bit=False),
        Operator("linear", 3.0, 50.0, eight_bit=False),
    ]
    text = table("a.onnx", operators, 5.0, {False: 100.0, True: 400.0})
    # 200 million operations in 4 ms.
    assert "| linear | 2 | 4.00 | 100% | 100 | 50 | 50% |" in text
    assert "all products would take 2.0 ms: 40% of what it takes" in text
