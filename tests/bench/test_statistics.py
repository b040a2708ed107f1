"""Summaries and intervals, against numpy, scipy, and simulated machines with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.bench.statistics import ratio, summarise

milliseconds = st.floats(min_value=1e-3, max_value=1e5)
rounds_of_samples = st.lists(st.lists(milliseconds, min_size=1, max_size=20), min_size=1, max_size=4)
few_examples = settings(max_examples=30, deadline=None)


def simulate(
    rng: np.random.Generator,
    processes: int,
    *,
    median: float = 10.0,
    between: float = 0.02,
    within: float = 0.02,
    samples: int = 50,
) -> list[list[float]]:
    """Samples of processes that differ by ``between``, each with noise ``within`` around its own median."""
    speeds = median * np.exp(between * rng.standard_normal(processes))
    return [list(speed * np.exp(within * rng.standard_normal(samples))) for speed in speeds]


@few_examples
@given(rounds_of_samples)
def test_percentiles_are_those_of_all_samples_together(rounds: list[list[float]]) -> None:
    pooled = [sample for samples in rounds for sample in samples]
    summary = summarise(rounds)
    assert summary.minimum == min(pooled)
    assert [summary.p50.value, summary.p90, summary.p99] == pytest.approx(np.percentile(pooled, [50, 90, 99]))
    assert (summary.processes, summary.samples) == (len(rounds), len(pooled))


@few_examples
@given(rounds_of_samples)
def test_an_interval_holds_its_value_and_stays_above_zero(rounds: list[list[float]]) -> None:
    p50 = summarise(rounds).p50
    assert 0 <= p50.interval.low <= p50.value <= p50.interval.high


@few_examples
@given(rounds_of_samples, st.floats(min_value=0.1, max_value=10))
def test_a_slower_clock_scales_everything(rounds: list[list[float]], factor: float) -> None:
    plain = summarise(rounds)
    scaled = summarise([[sample * factor for sample in samples] for samples in rounds])
    assert scaled.p50.value == pytest.approx(plain.p50.value * factor)
    assert scaled.p50.interval.high == pytest.approx(plain.p50.interval.high * factor)
    assert scaled.cv == pytest.approx(plain.cv, abs=1e-9)


def test_cv_is_that_of_the_processes_medians_and_unknown_for_one() -> None:
    rounds = [[1.0, 2.0, 9.0], [2.0, 3.0, 4.0], [4.0, 4.0, 4.0]]
    assert summarise(rounds).cv == pytest.approx(np.std([2, 3, 4], ddof=1) / 3)
    assert summarise(rounds[:1]).cv is None


def test_the_same_samples_give_the_same_interval() -> None:
    rounds = simulate(np.random.default_rng(3), 3)
    assert summarise(rounds) == summarise(rounds)


def test_for_one_process_the_interval_is_scipys_bootstrap() -> None:
    samples = simulate(np.random.default_rng(5), 1, within=0.1, samples=400)[0]
    theirs = scipy.stats.bootstrap((samples,), np.median, n_resamples=2000, rng=np.random.default_rng(0))
    ours = summarise([samples]).p50.interval
    assert ours.high - ours.low == pytest.approx(4 * theirs.standard_error, rel=0.15)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.01)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.01)


@pytest.mark.parametrize(("between", "within"), [(0.03, 0.01), (0.005, 0.02)])
def test_ninety_five_of_a_hundred_intervals_hold_the_true_median(between: float, within: float) -> None:
    rng = np.random.default_rng(7)
    intervals = [summarise(simulate(rng, 3, between=between, within=within)).p50.interval for _ in range(100)]
    assert sum(each.low <= 10.0 <= each.high for each in intervals) >= 90


def test_equal_artifacts_are_rarely_called_different_and_a_slower_one_is_found() -> None:
    rng = np.random.default_rng(11)
    alarms = found = 0
    for _ in range(60):
        one, other = simulate(rng, 3, between=0.005), simulate(rng, 3, between=0.005)
        slower = simulate(rng, 3, between=0.005, median=11.0)
        interval = ratio(one, other).interval
        alarms += not interval.low <= 1.0 <= interval.high
        found += ratio(slower, other).interval.low > 1.0
    assert alarms <= 6
    assert found >= 57


def test_what_slows_both_in_a_round_cancels_out_of_the_ratio() -> None:
    rng = np.random.default_rng(13)
    drift = [1.0, 1.5, 0.8]
    over, under = (
        [
            [sample * slow for sample in samples]
            for slow, samples in zip(drift, simulate(rng, 3, median=median, between=0.001), strict=True)
        ]
        for median in (20.0, 10.0)
    )
    paired = ratio(over, under)
    unpaired = ratio(over, [*under, under[0]])
    assert paired.value == pytest.approx(2.0, rel=0.05)
    assert paired.interval.high / paired.interval.low < 1.1
    assert unpaired.interval.high / unpaired.interval.low > 2


@few_examples
@given(st.lists(milliseconds, min_size=1, max_size=20))
def test_an_artifact_is_as_fast_as_itself(samples: list[float]) -> None:
    assert ratio([samples], [samples]).value == 1.0


@pytest.mark.parametrize("rounds", [[], [[]], [[1.0], []], [[1.0, 0.0]], [[float("nan")]]])
def test_what_is_no_time_is_refused(rounds: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        summarise(rounds)
