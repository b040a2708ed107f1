"""Summaries and intervals, against numpy, scipy, and simulated machines with a known truth."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.bench.statistics import (
    Estimate,
    Interval,
    ratio,
    rounds_to_exclude,
    summarise,
    took_turns,
)

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
        interval = ratio(one, other, paired=False).interval
        alarms += not interval.low <= 1.0 <= interval.high
        found += ratio(slower, other, paired=False).interval.low > 1.0
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
    paired = ratio(over, under, paired=True)
    unpaired = ratio(over, under, paired=False)
    assert paired.value == pytest.approx(2.0, rel=0.05)
    assert paired.interval.high / paired.interval.low < 1.1
    assert unpaired.interval.high / unpaired.interval.low > 2


@few_examples
@given(st.lists(milliseconds, min_size=1, max_size=20))
def test_an_artifact_is_as_fast_as_itself(samples: list[float]) -> None:
    assert ratio([samples], [samples], paired=False).value == 1.0


@few_examples
@given(rounds_of_samples, rounds_of_samples)
def test_swapping_the_sides_inverts_a_ratio_and_its_interval(
    one: list[list[float]], other: list[list[float]]
) -> None:
    there, back = ratio(one, other, paired=False), ratio(other, one, paired=False)
    assert math.log(there.value) == pytest.approx(-math.log(back.value), abs=1e-9)
    width = math.log(there.interval.high / there.value)
    assert width == pytest.approx(math.log(back.interval.high / back.value), rel=1e-9, abs=1e-9)


@few_examples
@given(rounds_of_samples, rounds_of_samples, st.floats(min_value=0.1, max_value=10))
def test_a_ratio_does_not_depend_on_the_unit(
    one: list[list[float]], other: list[list[float]], factor: float
) -> None:
    plain = ratio(one, other, paired=False)
    scaled = ratio(
        *([[sample * factor for sample in samples] for samples in side] for side in (one, other)),
        paired=False,
    )
    assert scaled.value == pytest.approx(plain.value)
    assert math.log(scaled.interval.high / plain.interval.high) == pytest.approx(0, abs=1e-6)


@few_examples
@given(rounds_of_samples, rounds_of_samples, st.randoms())
def test_the_order_of_samples_is_irrelevant(one, other, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = [random.sample(samples, len(samples)) for samples in one]
    assert ratio(shuffled, other, paired=False) == ratio(one, other, paired=False)


def test_for_single_processes_the_interval_is_that_of_large_sample_theory() -> None:
    """The median of n normal samples has the standard error sigma * sqrt(pi / 2n)."""
    rng, sigma, count = np.random.default_rng(17), 0.05, 4000
    one, other = (list(10 * np.exp(sigma * rng.standard_normal(count))) for _ in range(2))
    found = ratio([one], [other], paired=False)
    reach = scipy.stats.norm.ppf(0.975) * sigma * math.sqrt(2 * math.pi / 2 / count)
    assert math.log(found.interval.high / found.value) == pytest.approx(reach, rel=0.1)


def test_two_runs_at_two_times_are_not_paired_however_equal_their_rounds() -> None:
    start = datetime(2026, 1, 2, tzinfo=UTC)
    turns = [[start + timedelta(minutes=3 * number + turn) for number in range(3)] for turn in range(2)]
    later = [time + timedelta(days=1) for time in turns[1]]
    assert took_turns(turns[0], turns[1])
    assert took_turns(turns[1], turns[0])
    assert not took_turns(turns[0], later)
    assert not took_turns(turns[0], turns[1][:2])


def test_pairs_need_both_halves() -> None:
    with pytest.raises(ValueError, match="as many processes"):
        ratio([[1.0], [2.0]], [[1.0]], paired=True)


def test_so_many_rounds_tell_a_ratio_from_a_bound() -> None:
    """Three rounds give a reach of 4 %; where Student's t has it down to 2 %, 1.02 is told from 1."""
    reach = math.log(1.04)
    estimate = Estimate(value=1.02, interval=Interval(low=1.02 / 1.04, high=1.02 * 1.04))
    needed = rounds_to_exclude(1.0, estimate, 3, most=50)

    def reached(count: int) -> float:
        student = scipy.stats.t.ppf(0.975, count - 1) / scipy.stats.t.ppf(0.975, 2)
        return float(reach * student * math.sqrt(3 / count))

    assert needed is not None
    assert reached(needed) < math.log(1.02) <= reached(needed - 1)
    assert rounds_to_exclude(1.0199, estimate, 3, most=50) is None


@pytest.mark.parametrize("rounds", [[], [[]], [[1.0], []], [[1.0, 0.0]], [[float("nan")]]])
def test_what_is_no_time_is_refused(rounds: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        summarise(rounds)
