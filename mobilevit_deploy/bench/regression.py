"""Whether new measurements are slower than old ones: artifact by artifact, and as a gate for CI.

The two sets are separate runs, perhaps of weeks apart, and the new artifacts are new exports: they are
matched by what they are (``mobilevit_deploy.bench.matching``), never by file or digest, and the ratio of
their medians has the interval of two independent samples of processes.

A verdict follows from that interval and the threshold t alone. Bounds are 1 + t and its inverse, so that
swapping the sides turns ``slower`` into ``faster``. Where processes differ by 0.5 to 1 % and samples by 1 to
3 %, a simulated slow-down of 3 % is shown by five rounds of 50 samples in 86 to 100 of 100 comparisons, by
three in 26 to 96; equal artifacts are called different in 0 to 5 (tests/bench/test_regression.py). What
changed on the machine between two runs, no interval knows: measure both in turns where a percent matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.bench import circumstances, statistics
from mobilevit_deploy.bench.matching import Identity, Process, Selection, select
from mobilevit_deploy.bench.measurement import Measurement
from mobilevit_deploy.bench.statistics import Estimate, Summary
from mobilevit_deploy.errors import ArtifactError

MOST_ROUNDS = 50
"""More processes than that nobody measures to settle one percent."""

Verdict = Literal["slower", "faster", "same", "not-slower", "cannot-tell", "no-base", "no-new"]
"""What the interval of the ratio says, for a threshold t.

- ``slower``: it lies above 1 + t.
- ``faster``: it lies below 1 / (1 + t).
- ``same``: it lies between the two.
- ``not-slower``: it reaches from faster into the same, and not beyond.
- ``cannot-tell``: it holds 1 + t, or there is a single process on a side, which says nothing about the next.
- ``no-base``, ``no-new``: there is no time on that side.
"""


class Side(BaseModel):
    """One artifact in one of the two runs; ``latency`` in ms."""

    model_config = ConfigDict(frozen=True)

    file: str
    sha256: str
    bytes: int
    engine: str
    latency: Summary


class Change(BaseModel):
    """One artifact, in both runs or in one.

    Attributes:
        ratio: of the medians, new over base.
        rounds_needed: how many would tell, where ``verdict`` is ``cannot-tell``; None if more than
            ``MOST_ROUNDS``, or if one side is missing.
        why_untimed: what its run says about the missing time, if anything.
    """

    model_config = ConfigDict(frozen=True)

    artifact: Identity
    base: Side | None = None
    new: Side | None = None
    ratio: Estimate | None = None
    verdict: Verdict
    rounds_needed: int | None = None
    why_untimed: str = ""

    @property
    def rounds(self) -> int:
        """Processes on the side that has fewer; 0 if there is none."""
        return min(side.latency.processes if side else 0 for side in (self.base, self.new))


class Comparison(BaseModel):
    """Everything that became of the artifacts.

    Attributes:
        threshold: how much slower an artifact may be, as a fraction; None if nobody set a gate, and then
            verdicts are those of any difference at all.
        warnings: what else may have made the difference, one plain sentence each.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["mobilevit-deploy/comparison"] = "mobilevit-deploy/comparison"
    schema_version: int = 1
    threshold: float | None
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def slower(self) -> tuple[Change, ...]:
        """Artifacts that are slower than they may be."""
        return tuple(change for change in self.changes if change.verdict == "slower")

    @property
    def undecided(self) -> tuple[Change, ...]:
        """Artifacts that may or may not be; a new one has no past to be slower than."""
        return tuple(change for change in self.changes if change.verdict in {"cannot-tell", "no-new"})

    def passes(self, *, strict: bool = False) -> bool:
        """Whether the gate lets it through; without one everything passes.

        Args:
            strict: whether only what is known not to be slower passes.
        """
        return self.threshold is None or not (self.slower or (strict and self.undecided))


def gate(base: Sequence[Measurement], new: Sequence[Measurement], threshold: float | None) -> Comparison:
    """Compare two runs.

    Args:
        base: how it was.
        new: how it is.
        threshold: how much slower an artifact may be, as a fraction; None sets no gate.

    Raises:
        ArtifactError: no artifact was timed in both, so that there is nothing to compare.
        ValueError: the threshold is below zero.
    """
    if threshold is not None and threshold < 0:
        raise ValueError("a threshold is a fraction, 0 or more")
    before, after = select(base, new)
    if not before.timed.keys() & after.timed.keys():
        raise _nothing_in_common(before, after)
    artifacts = dict.fromkeys([*before.timed, *after.timed])
    return Comparison(
        threshold=threshold,
        changes=tuple(_change(artifact, before, after, threshold or 0.0) for artifact in artifacts),
        warnings=tuple(dict.fromkeys(circumstances.warnings(before, after))),
    )


def judge(ratio: Estimate, threshold: float) -> Verdict:
    """The verdict on a ratio of medians, new over base, for a threshold of 0 or more."""
    low, high = ratio.interval.low, ratio.interval.high
    upper, lower = 1 + threshold, 1 / (1 + threshold)
    if low > upper:
        return "slower"
    if high > upper:
        return "cannot-tell"
    if high < lower:
        return "faster"
    # Without a threshold nothing is the same, and an interval that holds 1 tells nothing.
    if threshold == 0:
        return "cannot-tell"
    return "same" if low >= lower else "not-slower"


def _change(artifact: Identity, before: Selection, after: Selection, threshold: float) -> Change:
    base, new = before.timed.get(artifact, ()), after.timed.get(artifact, ())
    if not base or not new:
        silent = after if base else before
        return Change(
            artifact=artifact,
            base=_side(base),
            new=_side(new),
            verdict="no-new" if base else "no-base",
            why_untimed=silent.untimed.get(artifact, ""),
        )
    paired = statistics.took_turns(_starts(new), _starts(base))
    ratio = statistics.ratio(_samples(new), _samples(base), paired=paired)
    processes = min(len(base), len(new))
    verdict = judge(ratio, threshold) if processes > 1 else "cannot-tell"
    return Change(
        artifact=artifact,
        base=_side(base),
        new=_side(new),
        ratio=ratio,
        verdict=verdict,
        rounds_needed=_rounds_needed(ratio, processes, threshold) if verdict == "cannot-tell" else None,
    )


def _rounds_needed(ratio: Estimate, processes: int, threshold: float) -> int | None:
    # How processes differ, one of them does not tell.
    if processes == 1:
        return None
    return statistics.rounds_to_exclude(1 + threshold, ratio, processes, most=MOST_ROUNDS)


def _side(group: Sequence[Process]) -> Side | None:
    if not group:
        return None
    subject, timing = group[-1].measurement.subject, group[-1].timing
    return Side(
        file=subject.file,
        sha256=subject.sha256,
        bytes=subject.bytes,
        engine=timing.engine,
        latency=statistics.summarise(_samples(group)),
    )


def _samples(group: Sequence[Process]) -> list[tuple[float, ...]]:
    return [process.timing.samples_ms for process in group]


def _starts(group: Sequence[Process]) -> list[datetime]:
    return [process.measurement.started_at for process in group]


def _nothing_in_common(before: Selection, after: Selection) -> ArtifactError:
    def names(side: Selection) -> str:
        return "; ".join(artifact.name for artifact in side.timed) or "nothing that was timed"

    return ArtifactError(
        f"BASE and NEW have no artifact in common. BASE has: {names(before)}. NEW has: {names(after)}.",
        remedy="Measure the same model, target, precision, image size and threads, on the same device.",
    )
