"""Metrics against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mobilevit_deploy.parity import metrics

logits = arrays(np.float32, 12, elements=st.floats(-100, 100, width=32))


def test_sqnr_of_a_tenth_of_noise_is_20_db() -> None:
    signal = np.ones(100, np.float32)
    assert metrics.sqnr_db(signal, signal + np.float32(0.1)) == pytest.approx(20, abs=1e-4)
    ten_times = 10 * metrics.power(signal)
    assert metrics.sqnr_db(signal, signal + np.float32(0.1), signal=ten_times) == pytest.approx(30, abs=1e-4)


def test_equal_arrays_are_infinitely_close() -> None:
    values = np.arange(1, 5, dtype=np.float32)
    assert metrics.sqnr_db(values, values) == math.inf
    assert metrics.cosine(values, values) == pytest.approx(1)
    assert metrics.max_abs_error(values, values) == 0


def test_noise_over_a_silent_reference_is_minus_infinity() -> None:
    assert metrics.sqnr_db(np.zeros(3), np.ones(3)) == -math.inf


def test_opposite_arrays_have_cosine_minus_one() -> None:
    values = np.arange(1, 5, dtype=np.float32)
    assert metrics.cosine(values, -values) == pytest.approx(-1)


def test_top_k_lists_the_best_first_and_breaks_ties_by_index() -> None:
    assert metrics.top_k(np.array([1.0, 9.0, 5.0, 9.0]), 3) == [1, 3, 2]


def test_top_k_overlap_ignores_order() -> None:
    assert metrics.top_k_overlap(np.array([3, 2, 1, 0]), np.array([1, 2, 3, 0]), 3) == 1
    assert metrics.top_k_overlap(np.array([3, 2, 1, 0]), np.array([0, 1, 2, 3]), 2) == 0


@given(reference=logits, output=logits)
def test_errors_are_those_of_numpy_in_float64(reference: np.ndarray, output: np.ndarray) -> None:
    difference = np.abs(output.astype(np.float64) - reference)
    assert metrics.max_abs_error(reference, output) == difference.max()
    assert metrics.mean_abs_error(reference, output) == pytest.approx(difference.mean())
    assert metrics.spread(reference) == float(reference.astype(np.float64).max() - reference.min())


@given(reference=logits, scale=st.floats(0.5, 2))
def test_cosine_ignores_scale(reference: np.ndarray, scale: float) -> None:
    if np.linalg.norm(reference.astype(np.float64)) > 1e-3:
        assert metrics.cosine(reference, reference.astype(np.float64) * scale) == pytest.approx(1, abs=1e-6)
