"""Sum up the measurements of an artifact: a row for each way in which it was measured, or was not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench import statistics
from mobilevit_deploy.bench.measurement import Checked, Counted, Measurement, Quoted, Timing, Untimed, Weighed
from mobilevit_deploy.report.data import Emulated, QuotedTool, Row, Timed

EMULATED = " on emulated "
"""Stands between runtime and processor in the engine of what was proven under emulation."""


def rows_of(path: str, manifest: Manifest, measured: Sequence[Measurement]) -> list[Row]:
    """The rows of one artifact, without their names and ratios.

    Args:
        path: of the artifact, from the report's folder.
        manifest: of the artifact.
        measured: whatever was measured of it, oldest first.
    """
    groups: dict[tuple[object, ...], list[Measurement]] = defaultdict(list)
    refused: dict[str, Measurement] = {}
    for measurement in measured:
        if measurement.context == "emulator":
            continue
        if isinstance(measurement.outcome, Timing):
            groups[_place(measurement, measurement.outcome)].append(measurement)
            refused.pop(measurement.device, None)  # what was mended since
        elif measurement.refusal is not None:
            refused[measurement.device] = measurement
    # A time that was taken before the verdict turned is the time of something wrong.
    timed = [_sum_up(_latest_run(group), measured) for group in groups.values()] if manifest.passed else []
    row = Row(path=path, manifest=manifest, emulated=_emulated(measured), quoted=_quoted(measured))
    rows = [row.model_copy(update={"timed": each}) for each in timed if each and each.device not in refused]
    rows += [row.model_copy(update=why) for why in _refusals(refused.values())]
    told = {device for each in rows for device in (each.timed.device if each.timed else "", *each.untimed_on)}
    unfair = [group[-1] for group in groups.values() if group[-1].device not in told and manifest.passed]
    rows += [row.model_copy(update=why) for why in _without_fair_time(unfair)]
    return rows or [row]


def _without_fair_time(unfair: Iterable[Measurement]) -> list[dict[str, object]]:
    """What rows say of devices on which every process was spoilt."""
    return [
        {
            "untimed": Untimed(
                status="not-timed", reason=f"No process was a fair time. {each.outcome.invalid}"
            ),
            "untimed_on": (each.device,),
        }
        for each in unfair
        if isinstance(each.outcome, Timing)
    ]


def _refusals(refused: Iterable[Measurement]) -> list[dict[str, object]]:
    """What rows say of devices without a time; those with the same reason share one."""
    by_reason: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in refused:
        by_reason[measurement.refusal or ""].append(measurement)
    return [
        {
            "untimed": _untimed(group[0], reason),
            "untimed_on": tuple(each.device for each in group),
            "untimed_parity": group[0].outcome.parity if isinstance(group[0].outcome, Checked) else None,
        }
        for reason, group in by_reason.items()
    ]


def _untimed(measurement: Measurement, reason: str) -> Untimed:
    if isinstance(measurement.outcome, Untimed):
        return measurement.outcome
    return Untimed(status="refused", reason=reason)


def _place(measurement: Measurement, timing: Timing) -> tuple[object, ...]:
    where = (measurement.device, measurement.context, measurement.threads, measurement.cores, timing.engine)
    return (*where, timing.machine.cpu, timing.machine.usable_cores)


def _latest_run(group: Sequence[Measurement]) -> list[Measurement]:
    """Only one run's: within it, artifacts took turns under the same conditions."""
    return [each for each in group if each.run == group[-1].run]


def _sum_up(group: Sequence[Measurement], measured: Sequence[Measurement]) -> Timed | None:
    fair = [(each, each.timing) for each in group if each.timing]
    if not fair:
        return None
    measurement, timing = fair[-1]
    samples = tuple(each.samples_ms for _, each in fair)
    preprocess = [ms for _, each in fair for ms in each.preprocess_ms]
    passes = [
        each.outcome
        for each in measured
        if (each.run, each.device, each.threads, each.cores)
        == (measurement.run, measurement.device, measurement.threads, measurement.cores)
    ]
    weighed = next((outcome for outcome in passes if isinstance(outcome, Weighed)), None)
    return Timed(
        run=measurement.run,
        device=measurement.device,
        context=measurement.context,
        engine=timing.engine,
        threads=measurement.threads,
        cores=measurement.cores,
        load_ms=median(each.load_ms for _, each in fair),
        first_ms=median(each.first_ms for _, each in fair),
        preprocess_ms=median(preprocess) if preprocess else None,
        peak_bytes=weighed.peak_bytes if weighed else None,
        model_bytes=max(weighed.peak_bytes - weighed.before_bytes, 0) if weighed else None,
        latency=statistics.summarise(samples),
        samples_ms=samples,
        input=timing.input,
        started_at=tuple(each.started_at for each, _ in fair),
        machine=timing.machine,
        states=tuple(state for _, each in fair for state in (each.before, each.after)),
        invalid=tuple(
            each.outcome.invalid
            for each in group
            if isinstance(each.outcome, Timing) and each.outcome.invalid
        ),
        parity=next((outcome.parity for outcome in passes if isinstance(outcome, Checked)), None),
    )


def _emulated(measured: Sequence[Measurement]) -> Emulated | None:
    emulated = [each for each in measured if each.context == "emulator"]
    outcomes = [each.outcome for each in emulated if each.run == emulated[-1].run]
    if not outcomes:
        return None
    parity = next((outcome.parity for outcome in outcomes if isinstance(outcome, Checked)), None)
    counted = next((outcome for outcome in outcomes if isinstance(outcome, Counted)), None)
    return Emulated(
        cpu=counted.cpu if counted else parity.engine.partition(EMULATED)[2] if parity else "",
        parity=parity,
        instructions=round(median(counted.instructions)) if counted else None,
        reason=next((outcome.reason for outcome in outcomes if isinstance(outcome, Untimed)), ""),
    )


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """Compare each row with the fastest of those that it may be compared with."""
    groups: dict[tuple[object, ...], list[Timed]] = defaultdict(list)
    for row in rows:
        if row.timed:
            groups[_peers(row, row.timed)].append(row.timed)
    fastest = {key: min(group, key=lambda timed: timed.latency.p50.value) for key, group in groups.items()}
    return [_with_ratio(row, fastest) for row in rows]


def _with_ratio(row: Row, fastest: dict[tuple[object, ...], Timed]) -> Row:
    if row.timed is None or row.timed is (best := fastest[_peers(row, row.timed)]):
        return row
    paired = statistics.took_turns(row.timed.started_at, best.started_at)
    ratio = statistics.ratio(row.timed.samples_ms, best.samples_ms, paired=paired)
    return row.model_copy(update={"timed": row.timed.model_copy(update={"ratio": ratio})})


def _peers(row: Row, timed: Timed) -> tuple[object, ...]:
    """What two rows must share, if their latencies are to be compared."""
    same = (row.manifest.model.weights_sha256, row.image_size)
    where = (timed.device, timed.context, timed.threads, timed.cores)
    return (*same, *where, timed.machine.cpu, timed.machine.usable_cores)


def _quoted(measured: Sequence[Measurement]) -> tuple[QuotedTool, ...]:
    """The latest words of each tool on each device."""
    found: dict[tuple[str, str, int], QuotedTool] = {}
    for each in measured:
        if isinstance(each.outcome, Quoted):
            summary = each.outcome.summary
            found[each.device, summary.tool, each.threads] = QuotedTool(
                device=each.device, threads=each.threads, summary=summary
            )
    return tuple(found.values())
