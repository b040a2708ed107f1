"""What the samples of several processes say about latency.

Processes differ more than the samples within one: memory is laid out anew, the scheduler and the clock start
elsewhere. A plain bootstrap over all samples takes them for independent and promises far too much, and a
percentile bootstrap over three processes covers the true median 75 times of 100 where it claims 95. So both
levels are resampled, processes and then samples within each, to get the standard error of the median's
logarithm; and the interval is Student's t around it, with one degree of freedom less than there are
processes. In simulation that covers 94 to 100 of 100 (tests/bench/test_statistics.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

CONFIDENCE = 0.95
RESAMPLES = 1000
SEED = 0

Rounds = Sequence[Sequence[float]]
"""Samples of each process, in ms."""

_Samples = NDArray[np.float64]


class Interval(BaseModel):
    """Where the true value lies, with a confidence of 95 %."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float


class Estimate(BaseModel):
    """A value and its interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    interval: Interval


class Summary(BaseModel):
    """Latency over all processes, in ms.

    Attributes:
        p50: median of all samples, with its interval.
        cv: standard deviation of the processes' medians over their mean; None for a single process.
        processes: how many processes the samples came from.
        samples: how many samples there are in all.
    """

    model_config = ConfigDict(frozen=True)

    minimum: float
    p50: Estimate
    p90: float
    p99: float
    cv: float | None
    processes: int
    samples: int


def summarise(rounds: Rounds) -> Summary:
    """Sum up the samples of one artifact.

    Raises:
        ValueError: there are no samples, or one is not above zero.
    """
    arrays = _arrays(rounds)
    pooled = np.concatenate(arrays)
    p50, p90, p99 = (float(value) for value in np.percentile(pooled, [50, 90, 99]))
    medians = np.array([np.median(array) for array in arrays])
    logs = np.log(_resampled_medians(arrays, processes=_stream(0), samples=_stream(1)))
    error = float(logs.std(ddof=1))
    return Summary(
        minimum=float(pooled.min()),
        p50=_estimate(p50, error, _freedom(arrays)),
        p90=p90,
        p99=p99,
        cv=float(medians.std(ddof=1) / medians.mean()) if len(arrays) > 1 else None,
        processes=len(arrays),
        samples=pooled.size,
    )


def ratio(rounds: Rounds, base: Rounds, *, paired: bool) -> Estimate:
    """How many times the median of ``base`` the median of ``rounds`` is.

    Args:
        rounds: samples of each process.
        base: those to compare with.
        paired: whether round by round both were measured side by side (``took_turns``). They are resampled
            in pairs then, so that what slowed both in a round cancels out. Two runs at two times never are,
            however many rounds they share: pairing them would take chance for something that cancels.

    Raises:
        ValueError: there are no samples, one is not above zero, or pairs lack a half.
    """
    over, under = _arrays(rounds), _arrays(base)
    if paired and len(over) != len(under):
        raise ValueError("pairs need as many processes on both sides")
    # The same stream draws the same processes on both sides: that is the pairing. Independent sides add
    # their variances instead, and then which one is the base makes no difference to the width.
    top = np.log(_resampled_medians(over, processes=_stream(0), samples=_stream(1)))
    bottom = np.log(_resampled_medians(under, processes=_stream(0), samples=_stream(2 if paired else 1)))
    error = float((top - bottom).std(ddof=1) if paired else np.hypot(top.std(ddof=1), bottom.std(ddof=1)))
    value = float(np.median(np.concatenate(over)) / np.median(np.concatenate(under)))
    return _estimate(value, error, min(_freedom(over), _freedom(under)))


def took_turns(one: Sequence[datetime], other: Sequence[datetime]) -> bool:
    """Whether two artifacts were measured in turns, A B A B, by when their processes started."""
    if len(one) != len(other):
        return False
    turns = zip(one, other, strict=True)
    return all(max(turn) < min(following) for turn, following in pairwise(turns))


def rounds_to_exclude(bound: float, estimate: Estimate, processes: int, *, most: int) -> int | None:
    """How many processes it takes until the interval of ``estimate`` no longer holds ``bound``.

    Supposes that the value stays where it is, and that the interval narrows as Student's t over the square
    root of their number does.

    Args:
        bound: within the interval.
        estimate: of at least two processes.
        processes: how many it came from.
        most: beyond which nobody will wait.

    Returns:
        None if not even ``most`` are enough.
    """
    distance = abs(math.log(bound / estimate.value))
    reach = math.log(estimate.interval.high / estimate.interval.low) / 2
    spread = reach / _student(processes - 1) * math.sqrt(processes)
    enough = (
        count
        for count in range(processes + 1, most + 1)
        if _student(count - 1) * spread / math.sqrt(count) < distance
    )
    return next(enough, None)


def _arrays(rounds: Rounds) -> list[_Samples]:
    # Sorted, so that the order of samples, which means nothing here, does not change what is drawn.
    arrays = [np.sort(np.asarray(samples, dtype=np.float64)) for samples in rounds]
    if not arrays or not all(array.size and (array > 0).all() for array in arrays):
        raise ValueError("every process needs samples, all of them above zero")
    return arrays


def _stream(number: int) -> np.random.Generator:
    return np.random.default_rng([SEED, number])


def _resampled_medians(
    arrays: list[_Samples], *, processes: np.random.Generator, samples: np.random.Generator
) -> _Samples:
    chosen = processes.integers(0, len(arrays), (RESAMPLES, len(arrays)))
    drawn = np.full((*chosen.shape, max(array.size for array in arrays)), np.nan)
    for index, array in enumerate(arrays):
        rows, columns = np.nonzero(chosen == index)
        drawn[rows, columns, : array.size] = array[samples.integers(0, array.size, (rows.size, array.size))]
    # Sorting puts the padding of shorter processes (NaN) last.
    ordered = np.sort(drawn.reshape(RESAMPLES, -1), axis=1)
    counts = np.isfinite(ordered).sum(axis=1)
    every = np.arange(RESAMPLES)
    medians: _Samples = (ordered[every, (counts - 1) // 2] + ordered[every, counts // 2]) / 2
    return medians


def _freedom(arrays: list[_Samples]) -> int:
    # A single process says nothing about the next one; its samples are all there is to go by.
    return max(len(arrays) - 1 if len(arrays) > 1 else arrays[0].size - 1, 1)


def _estimate(value: float, error: float, freedom: int) -> Estimate:
    """The interval around ``value`` whose logarithm has the standard error ``error``."""
    reach = _student(freedom) * error
    return Estimate(
        value=value, interval=Interval(low=value * math.exp(-reach), high=value * math.exp(reach))
    )


def _student(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
