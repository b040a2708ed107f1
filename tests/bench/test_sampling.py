"""The order and the bounds of what is timed, on a clock that the test moves."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from mobilevit_deploy.bench.sampling import WARMUP_MOST, WARMUP_MOST_MS, Samples, sample

INPUTS = (np.zeros((1, 3, 4, 4), np.float32),)


class ScriptedSession:
    """Takes as long for each inference as it is told, on a clock of its own."""

    engine = "script"
    measurable = True

    def __init__(self, *, load_ms: float, run_ms: Iterable[float]) -> None:
        self._load_ms = load_ms
        self._run_ms = iter(run_ms)
        self.now_ns = 0
        self.closed = False
        self.collected_garbage = False

    def clock(self) -> int:
        return self.now_ns

    def open(self) -> ScriptedSession:
        self._pass(self._load_ms)
        return self

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        assert inputs is not None
        self.collected_garbage |= gc.isenabled()
        self._pass(next(self._run_ms))
        return inputs

    def close(self) -> None:
        self.closed = True

    def _pass(self, ms: float) -> None:
        self.now_ns += round(ms * 1e6)


def take(session: ScriptedSession, count: int = 4) -> Samples:
    return sample(session.open, INPUTS, count, clock=session.clock)


def test_load_first_warmup_and_samples_are_kept_apart() -> None:
    session = ScriptedSession(
        load_ms=120, run_ms=itertools.chain([90], itertools.repeat(50, 10), [51, 52, 53, 54])
    )
    taken = take(session)
    assert taken.load_ms == 120
    assert taken.first_ms == 90
    assert set(taken.warmup_ms) == {50}
    assert list(taken.samples_ms) == [51, 52, 53, 54]
    assert session.closed


def test_warmup_goes_on_while_inference_gets_faster() -> None:
    speeding_up = [100 * 0.97**step for step in range(25)]
    taken = take(ScriptedSession(load_ms=1, run_ms=itertools.chain(speeding_up, itertools.repeat(40))))
    assert set(taken.samples_ms) == {40}
    assert len(taken.warmup_ms) > 25


def test_warmup_lasts_long_enough_for_a_clock_to_rise() -> None:
    taken = take(ScriptedSession(load_ms=1, run_ms=itertools.repeat(1)))
    assert 250 <= sum(taken.warmup_ms) < 260


@pytest.mark.parametrize("ms", [0.001, 2000])
def test_warmup_is_bounded_for_fast_and_for_slow_models(ms: float) -> None:
    ever_faster = (ms * 0.9**step + ms for step in itertools.count())
    taken = take(ScriptedSession(load_ms=1, run_ms=ever_faster))
    assert len(taken.warmup_ms) <= WARMUP_MOST
    assert sum(taken.warmup_ms) < WARMUP_MOST_MS + 2 * ms
    assert len(taken.samples_ms) == 4


def test_no_garbage_is_collected_while_the_clock_runs_and_it_is_afterwards() -> None:
    session = ScriptedSession(load_ms=1, run_ms=itertools.repeat(30))
    take(session)
    assert not session.collected_garbage
    assert gc.isenabled()


def test_a_session_that_fails_is_closed() -> None:
    session = ScriptedSession(load_ms=1, run_ms=[30, 30])
    with pytest.raises(StopIteration):
        take(session)
    assert session.closed
