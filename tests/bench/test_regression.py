"""The gate: what it says of simulated runs with a known truth, and of runs that are not alike."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.timed_artifacts import conditions, machine, measurement, timing
from mobilevit_deploy.bench.measurement import Measurement, Subject, Untimed
from mobilevit_deploy.bench.regression import Change, gate, judge
from mobilevit_deploy.bench.statistics import Estimate, Interval
from mobilevit_deploy.errors import ArtifactError

BASE_DAY = datetime(2026, 1, 2, tzinfo=UTC)
NEW_DAY = datetime(2026, 2, 3, tzinfo=UTC)


def subject(**changes: Any) -> Subject:
    return measurement().subject.model_copy(update=changes)


def simulate(
    rng: np.random.Generator,
    *,
    median: float = 10.0,
    rounds: int = 5,
    between: float = 0.005,
    within: float = 0.02,
    day: datetime = BASE_DAY,
) -> list[Measurement]:
    """A run of 50 samples a process, with a spike of half as much again in one sample of fifty."""
    made = []
    for number, speed in enumerate(median * np.exp(between * rng.standard_normal(rounds)), start=1):
        samples = speed * np.exp(within * rng.standard_normal(50))
        samples *= 1 + (rng.random(50) < 0.02) * rng.exponential(0.5, 50)
        made.append(
            measurement(
                round=number,
                started_at=day + timedelta(minutes=number),
                outcome=timing(samples_ms=tuple(samples)),
            )
        )
    return made


def run(
    *medians: float, of: Subject | None = None, day: datetime = BASE_DAY, threads: int = 1, **changes: Any
) -> list[Measurement]:
    """A process for each median, whose samples vary by 1 %."""
    return [
        measurement(
            subject=of or subject(),
            threads=threads,
            round=number,
            started_at=day + timedelta(minutes=number),
            outcome=timing(samples_ms=tuple(median * (1 + 0.001 * step) for step in range(-5, 6)), **changes),
        )
        for number, median in enumerate(medians, start=1)
    ]


def only(base: list[Measurement], new: list[Measurement], threshold: float | None = None) -> Change:
    (change,) = gate(base, new, threshold).changes
    return change


NOISE = [(0.005, 0.01), (0.005, 0.03), (0.01, 0.01), (0.01, 0.03)]
"""How processes differ, and the samples within one."""


class TestSimulatedRuns:
    @pytest.mark.parametrize(
        ("rounds", "between", "within"), [*((5, *noise) for noise in NOISE), (3, 0.005, 0.01)]
    )
    def test_equal_artifacts_raise_at_most_five_alarms_in_a_hundred(
        self, rounds: int, between: float, within: float
    ) -> None:
        rng = np.random.default_rng(1)
        noise: Any = {"between": between, "within": within, "rounds": rounds}
        verdicts = [
            only(simulate(rng, **noise), simulate(rng, **noise, day=NEW_DAY)).verdict for _ in range(100)
        ]
        assert sum(verdict in {"slower", "faster"} for verdict in verdicts) <= 5

    @pytest.mark.parametrize(
        ("rounds", "between", "within", "found"),
        [(5, 0.005, 0.01, 38), (5, 0.005, 0.03, 38), (5, 0.01, 0.01, 34), (3, 0.005, 0.01, 34)],
    )
    def test_three_percent_are_found(self, rounds: int, between: float, within: float, found: int) -> None:
        rng = np.random.default_rng(2)
        noise: Any = {"between": between, "within": within, "rounds": rounds}
        verdicts = [
            only(simulate(rng, **noise), simulate(rng, **noise, median=10.3, day=NEW_DAY)).verdict
            for _ in range(40)
        ]
        assert verdicts.count("slower") >= found
        assert "faster" not in verdicts

    def test_a_gate_of_five_percent_lets_equal_ones_through_and_stops_ten_percent(self) -> None:
        rng = np.random.default_rng(3)
        equal = [only(simulate(rng), simulate(rng, day=NEW_DAY), 0.05).verdict for _ in range(30)]
        slower = [
            only(simulate(rng), simulate(rng, median=11.0, day=NEW_DAY), 0.05).verdict for _ in range(30)
        ]
        assert set(equal) == {"same"}
        assert slower.count("slower") >= 28

    def test_rounds_of_two_runs_are_not_paired(self) -> None:
        """Both happen to drift upwards, which looks like something that cancels, and is chance."""
        base, new = run(10.0, 10.5, 11.0), run(10.1, 10.6, 11.1, day=NEW_DAY)
        assert only(base, new).verdict == "cannot-tell"

    def test_rounds_measured_in_turns_are_paired(self) -> None:
        base = run(10.0, 10.5, 11.0)
        new = run(10.1, 10.6, 11.1, day=BASE_DAY + timedelta(seconds=30))
        assert only(base, new).verdict == "slower"


def estimate(low: float, high: float) -> Estimate:
    return Estimate(value=math.sqrt(low * high), interval=Interval(low=low, high=high))


class TestVerdicts:
    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [
            (1.06, 1.08, "slower"),
            (1.04, 1.08, "cannot-tell"),
            (0.90, 1.08, "cannot-tell"),
            (1.01, 1.04, "same"),
            (0.97, 1.02, "same"),
            (0.90, 1.02, "not-slower"),
            (0.90, 0.94, "faster"),
        ],
    )
    def test_it_follows_from_interval_and_threshold(self, low: float, high: float, verdict: str) -> None:
        assert judge(estimate(low, high), 0.05) == verdict

    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [(1.01, 1.02, "slower"), (0.99, 1.01, "cannot-tell"), (0.98, 0.99, "faster")],
    )
    def test_without_a_threshold_any_difference_counts(self, low: float, high: float, verdict: str) -> None:
        assert judge(estimate(low, high), 0.0) == verdict

    @given(
        st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0)).map(sorted),
        st.floats(min_value=0.0, max_value=0.5),
    )
    def test_swapping_the_sides_swaps_slower_and_faster(self, bounds: list[float], threshold: float) -> None:
        low, high = bounds
        there = judge(estimate(low, high), threshold)
        back = judge(estimate(1 / high, 1 / low), threshold)
        assert (there == "slower") == (back == "faster")

    def test_a_single_process_cannot_tell(self) -> None:
        change = only(run(10.0), run(20.0, day=NEW_DAY), 0.05)
        assert (change.verdict, change.rounds, change.rounds_needed) == ("cannot-tell", 1, None)

    def test_who_cannot_tell_says_how_many_rounds_would(self) -> None:
        change = only(run(10.0, 10.1, 9.9), run(10.8, 10.5, 11.1, day=NEW_DAY), 0.05)
        assert change.verdict == "cannot-tell"
        assert change.rounds_needed is not None
        assert 3 < change.rounds_needed <= 20

    def test_on_the_threshold_no_number_of_rounds_helps(self) -> None:
        change = only(run(10.0, 10.1, 9.9), run(10.5, 10.6, 10.4, day=NEW_DAY), 0.05)
        assert (change.verdict, change.rounds_needed) == ("cannot-tell", None)


class TestGate:
    def test_without_a_threshold_everything_passes(self) -> None:
        comparison = gate(run(10, 10, 10), run(20, 20, 20, day=NEW_DAY), None)
        assert comparison.changes[0].verdict == "slower"
        assert comparison.passes(strict=True)

    def test_what_is_slower_fails(self) -> None:
        assert not gate(run(10, 10, 10), run(11, 11, 11, day=NEW_DAY), 0.05).passes()

    def test_what_cannot_be_told_fails_only_if_that_is_wanted(self) -> None:
        comparison = gate(run(10), run(10, day=NEW_DAY), 0.05)
        assert comparison.passes()
        assert not comparison.passes(strict=True)

    def test_an_artifact_that_was_lost_is_undecided_with_its_runs_reason(self) -> None:
        lost = subject(target="lost")
        comparison = gate(
            [*run(10, 10, 10), *run(5, 5, 5, of=lost)],
            [
                *run(10, 10, 10, day=NEW_DAY),
                measurement(subject=lost, outcome=Untimed(status="refused", reason="It is wrong.")),
            ],
            0.05,
        )
        change = comparison.changes[1]
        assert (change.verdict, change.why_untimed) == ("no-new", "It is wrong.")
        assert comparison.passes()
        assert not comparison.passes(strict=True)

    def test_a_new_artifact_has_no_past_to_be_slower_than(self) -> None:
        added = run(5, 5, 5, of=subject(target="added"), day=NEW_DAY)
        comparison = gate(run(10, 10, 10), [*run(10, 10, 10, day=NEW_DAY), *added], 0.05)
        assert comparison.changes[1].verdict == "no-base"
        assert comparison.passes(strict=True)

    def test_a_gate_that_compares_nothing_does_not_pass(self) -> None:
        with pytest.raises(ArtifactError, match="no artifact in common") as refusal:
            gate(run(10), run(10, threads=2), 0.05)
        assert "tiny 32x48 timed fp32, 1 thread on host" in refusal.value.problem
        assert "2 threads" in refusal.value.problem

    def test_a_negative_threshold_is_refused(self) -> None:
        with pytest.raises(ValueError, match="0 or more"):
            gate(run(10), run(10), -0.05)


class TestMatching:
    def test_a_new_export_is_the_same_artifact(self) -> None:
        again = subject(sha256="2" * 64, file="renamed.timed", bytes=1_300_000)
        change = only(run(10, 10, 10), run(10, 10, 10, of=again, day=NEW_DAY))
        assert change.base is not None
        assert change.new is not None
        assert (change.base.bytes, change.new.bytes) == (2_600_000, 1_300_000)

    @pytest.mark.parametrize(
        "changes",
        [{"target": "other"}, {"precision": "fp16"}, {"model": "other"}, {"image_size": (48, 32)}],
    )
    def test_another_artifact_is_another(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ArtifactError):
            gate(run(10), run(10, of=subject(**changes)), None)

    def test_names_of_files_tell_apart_what_nothing_else_does(self) -> None:
        both = [
            subject(sha256=digit * 64, file=file)
            for digit, file in (("2", "x.timed"), ("3", "x-argmax.timed"))
        ]
        base = [*run(10, 10, 10, of=both[0]), *run(20, 20, 20, of=both[1])]
        new = [*run(10, 10, 10, of=both[0], day=NEW_DAY), *run(40, 40, 40, of=both[1], day=NEW_DAY)]
        changes = gate(base, new, 0.05).changes
        assert {change.artifact.file: change.verdict for change in changes} == {
            "x.timed": "same",
            "x-argmax.timed": "slower",
        }

    def test_of_several_exports_in_one_file_the_latest_counts(self) -> None:
        new = [
            *run(50, 50, 50, of=subject(sha256="2" * 64), day=BASE_DAY),
            *run(10, 10, 10, of=subject(sha256="3" * 64), day=NEW_DAY),
        ]
        comparison = gate(run(10, 10, 10), new, 0.05)
        assert comparison.changes[0].verdict == "same"
        assert "NEW: 3 measurements are left out" in comparison.warnings[0]

    def test_an_artifact_that_fails_now_has_no_time_from_before(self) -> None:
        failed = measurement(started_at=NEW_DAY, outcome=Untimed(status="failed", reason="It died."))
        other = subject(target="other")
        comparison = gate(
            [*run(10, 10, 10), *run(10, 10, 10, of=other)],
            [*run(10, 10, 10), failed, *run(10, 10, 10, of=other, day=NEW_DAY)],
            0.05,
        )
        assert [change.verdict for change in comparison.changes] == ["no-new", "same"]


class TestWarnings:
    def warnings(self, **changes: Any) -> tuple[str, ...]:
        return gate(run(10, 10, 10), run(10, 10, 10, day=NEW_DAY, **changes), 0.05).warnings

    def test_equal_conditions_give_none(self) -> None:
        assert self.warnings() == ()

    def test_another_machine_may_be_the_difference(self) -> None:
        (warning,) = self.warnings(machine=machine(cpu="Other 1"))
        assert warning.startswith("BASE was measured on Example 9000 (4 cores), NEW on Other 1 (4 cores)")

    def test_another_engine_may_be_the_difference(self) -> None:
        (warning,) = self.warnings(engine="clock 2.0")
        assert warning.startswith("The engine changed from clock 1.0 to clock 2.0")

    def test_another_system_may_be_the_difference(self) -> None:
        (warning,) = self.warnings(machine=machine(kernel="7.0"))
        assert "kernel 7.0" in warning

    def test_a_busy_machine_is_told(self) -> None:
        (warning,) = self.warnings(before=conditions(busy=0.5))
        assert "up to 50%" in warning

    def test_a_run_compared_with_itself_shows_nothing(self) -> None:
        same = run(10, 10, 10)
        assert "compared with itself" in gate(same, same, 0.05).warnings[0]
