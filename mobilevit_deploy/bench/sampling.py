"""The clock: load, first inference, warm-up until steady, and samples, in the process that calls."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.target import Session

WINDOW = 5
SPEEDING_UP = 0.98
WARMUP_LEAST_MS = 250.0
WARMUP_MOST_MS = 3000.0
WARMUP_MOST = 500

WARMUP_RULE = (
    f"Warm-up ends when the median of the last {WINDOW} inferences is at most {1 - SPEEDING_UP:.0%} "
    f"below that of the {WINDOW} before them, but not before {WARMUP_LEAST_MS / 1000:g} s, "
    f"and after {WARMUP_MOST_MS / 1000:g} s or {WARMUP_MOST} inferences in any case."
)

Clock = Callable[[], int]


@dataclass(frozen=True)
class Samples:
    """Durations in ms, in the order they were taken."""

    load_ms: float
    first_ms: float
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]


def sample(
    open_session: Callable[[], Session],
    inputs: tuple[NDArray[Any], ...],
    count: int,
    clock: Clock = perf_counter_ns,
) -> Samples:
    """Time ``open_session``, then ``run`` on the same ``inputs`` until ``count`` steady samples are taken.

    Args:
        open_session: loads the artifact; what it imports should be imported already.
        inputs: as the artifact declares them.
        count: of the samples wanted.
        clock: nanoseconds that never go backwards.

    Raises:
        SessionError: the runtime refused the file or the input.
    """
    with _no_garbage_collection():
        begin = clock()
        session = open_session()
        load = (clock() - begin) / 1e6
        try:
            (first,) = _run(session, inputs, 1, clock)
            return Samples(
                load,
                first,
                tuple(_warm_up(session, inputs, clock)),
                tuple(_run(session, inputs, count, clock)),
            )
        finally:
            session.close()


def _run(session: Session, inputs: tuple[NDArray[Any], ...], count: int, clock: Clock) -> list[float]:
    run = session.run
    durations = [0] * count
    for index in range(count):
        begin = clock()
        run(*inputs)
        durations[index] = clock() - begin
    return [duration / 1e6 for duration in durations]


def _warm_up(session: Session, inputs: tuple[NDArray[Any], ...], clock: Clock) -> list[float]:
    taken: list[float] = []
    spent = 0.0
    while spent < WARMUP_MOST_MS and len(taken) < WARMUP_MOST:
        if spent >= WARMUP_LEAST_MS and _steady(taken):
            break
        taken += _run(session, inputs, 1, clock)
        spent += taken[-1]
    return taken


def _steady(taken: list[float]) -> bool:
    if len(taken) < 2 * WINDOW:
        return False
    before, last = taken[-2 * WINDOW : -WINDOW], taken[-WINDOW:]
    return statistics.median(last) >= SPEEDING_UP * statistics.median(before)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
