"""What a report is made of: the artifacts of a folder, with what was proven and measured of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy import artifact
from mobilevit_deploy.artifact import Manifest, open_artifact
from mobilevit_deploy.bench import doubts, statistics
from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.bench.measurement import (
    Checked,
    Context,
    Counted,
    Measurement,
    Subject,
    Timing,
    Untimed,
    Weighed,
)
from mobilevit_deploy.bench.records import holds_measurements, read_measurements
from mobilevit_deploy.bench.statistics import Estimate, Summary
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.output import visible
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.report.naming import with_labels

SCHEMA_VERSION = 2

EMULATED = " on emulated "
"""Stands between runtime and processor in the engine of what was proven under emulation."""

UNSTEADY_CV = 0.05
"""Processes of one artifact that differ by more than this deserve a warning."""


class Timed(BaseModel):
    """All processes of one artifact in one run on one device, summed up.

    Attributes:
        run: names the invocation; within one, artifacts took turns.
        cores: what the process was asked to run on; empty for all.
        load_ms: median over processes.
        first_ms: median over processes.
        preprocess_ms: median over processes and pictures; None where an app does that.
        peak_bytes: the most memory that was resident, in a process of its own; None if not looked at.
        model_bytes: how much of it came after the file was opened.
        ratio: its median over that of the fastest artifact of the same model, input size, device and number
            of threads; None for that one itself.
        samples_ms: of each process.
        started_at: of each process, in UTC.
        states: conditions before and after each process.
        invalid: why further processes were no fair time, one sentence each.
        parity: on this device; None where that of the manifest holds there.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    run: str
    device: str
    context: Context
    engine: str
    threads: int
    cores: str
    load_ms: float
    first_ms: float
    preprocess_ms: float | None
    peak_bytes: int | None
    model_bytes: int | None
    latency: Summary
    ratio: Estimate | None = None
    samples_ms: tuple[tuple[float, ...], ...]
    input: str
    started_at: tuple[datetime, ...]
    machine: Machine
    states: tuple[Conditions, ...]
    invalid: tuple[str, ...]
    parity: ParityResult | None

    @property
    def end_to_end_ms(self) -> float | None:
        """From a decoded photograph to the output: preprocessing and the median inference."""
        return None if self.preprocess_ms is None else self.preprocess_ms + self.latency.p50.value


class Emulated(BaseModel):
    """What emulated ARM says of an artifact: parity, and instructions, which are no latency.

    Attributes:
        cpu: that was emulated; empty if nothing ran there.
        parity: of ARM's own kernels with the reference; None if they never ran.
        instructions: median of single inferences; None if they were not counted.
        reason: why something of it is missing; empty if nothing is.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    cpu: str
    parity: ParityResult | None
    instructions: int | None
    reason: str = ""


class Row(BaseModel):
    """One artifact as measured in one way, or not measured: a line of every table.

    Attributes:
        name: the shortest that tells its artifact from the others, such as ``tflite fp32``.
        label: the shortest that tells it from the other rows, such as ``tflite fp32 on host``.
        path: of the artifact, from the report's folder.
        untimed: why there is no time of it, if that was tried.
        untimed_on: the devices that this is true of.
        untimed_parity: on that device, where it is the reason.
        emulated: what was found under emulation, if that was tried.
    """

    model_config = ConfigDict(frozen=True)

    name: str = ""
    label: str = ""
    path: str
    manifest: Manifest
    timed: Timed | None = None
    untimed: Untimed | None = None
    untimed_on: tuple[str, ...] = ()
    untimed_parity: ParityResult | None = None
    emulated: Emulated | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return Subject.of(self.manifest).image_size

    @property
    def device_parity(self) -> ParityResult | None:
        """Parity on the row's device; None where that of the manifest is all there is."""
        return self.timed.parity if self.timed else self.untimed_parity

    @property
    def parity(self) -> ParityResult:
        """What is known where the row was measured: parity on that device, or else as at the export."""
        return self.device_parity or self.manifest.parity

    @property
    def passed(self) -> bool:
        """Whether it equals the reference, or comes as near as it must, at the export and on its device."""
        return self.manifest.passed and self.parity.passed


class Broken(BaseModel):
    """A file that should be part of the report and cannot be trusted."""

    model_config = ConfigDict(frozen=True)

    path: str
    reason: str


class Place(NamedTuple):
    """Where and how times were taken: what stands in one place may be compared.

    Attributes:
        device: its name.
        context: what kind of process ran the artifacts.
        machine: the device, without libraries.
        states: that it was in before and after each process, in the order of time.
    """

    device: str
    context: Context
    machine: Machine
    states: list[tuple[Conditions, Conditions]]


class Report(BaseModel):
    """Everything that the renderers show."""

    # An exact match has an infinite SQNR, which JSON has no number for.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    format: Literal["mobilevit-deploy/report"] = "mobilevit-deploy/report"
    schema_version: int = SCHEMA_VERSION
    version: str
    folder: str
    created_at: datetime
    rows: tuple[Row, ...]
    broken: tuple[Broken, ...]
    warnings: tuple[str, ...]

    @property
    def artifacts(self) -> tuple[Row, ...]:
        """A row of each artifact, in however many ways it was measured."""
        return tuple({row.path: row for row in reversed(self.rows)}.values())[::-1]

    @property
    def cases(self) -> tuple[str, ...]:
        """Inputs of the parity checks."""
        return tuple(dict.fromkeys(case for row in self.rows for case in row.manifest.parity.errors))

    @property
    def passed(self) -> int:
        """How many artifacts equal the reference, or come as near as their precision must."""
        return sum(row.manifest.passed for row in self.artifacts)

    @property
    def total(self) -> int:
        """How many artifacts there are, unreadable ones included."""
        return len(self.artifacts) + len(self.broken)

    @property
    def places(self) -> list[Place]:
        """Each device that times were measured on, once for each kind of process."""
        found: list[tuple[Place, list[tuple[datetime, Conditions, Conditions]]]] = []
        for timed in (row.timed for row in self.rows if row.timed):
            machine = timed.machine.model_copy(update={"libraries": {}})
            place = Place(timed.device, timed.context, machine, [])
            dated = next((dated for known, dated in found if known == place), None)
            if dated is None:
                found.append((place, dated := []))
            dated += zip(timed.started_at, timed.states[::2], timed.states[1::2], strict=True)
        return [
            place._replace(states=[(before, after) for _, before, after in sorted(dated, key=itemgetter(0))])
            for place, dated in found
        ]


def gather(folder: str | Path) -> Report:
    """Collect the artifacts in ``folder`` and its subfolders, and the measurements (``*.jsonl``) of them.

    Raises:
        ArtifactError: there is no artifact.
    """
    root = Path(folder)
    manifests, broken = read_artifacts(root)
    measured, unreadable = _read_measurements(root)
    if not manifests and not broken:
        raise ArtifactError(
            f"There is no artifact in {root}.",
            remedy="Make some with 'mobilevit-deploy export --target all'.",
        )
    return compose(
        manifests,
        measured,
        folder=root.resolve().name,
        now=datetime.now(UTC),
        broken=broken,
        remarks=unreadable,
    )


def compose(
    manifests: dict[str, Manifest],
    measured: Sequence[Measurement],
    *,
    folder: str,
    now: datetime,
    broken: Sequence[Broken] = (),
    remarks: Sequence[str] = (),
) -> Report:
    """Join manifests, by their paths, with the measurements of the same files.

    Args:
        manifests: by the path of their artifacts from the folder.
        measured: of these artifacts or others.
        folder: its name.
        now: when the report is made.
        broken: artifacts that cannot be trusted.
        remarks: further warnings.
    """
    by_digest: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in measured:
        by_digest[measurement.subject.sha256].append(measurement)
    known = {manifest.sha256 for manifest in manifests.values()}
    if strays := sum(len(found) for digest, found in by_digest.items() if digest not in known):
        remarks = [*remarks, f"{strays} measurements are of files that are not here, and are left out."]
    rows = [
        row
        for path, manifest in manifests.items()
        for row in _rows(path, manifest, by_digest[manifest.sha256])
    ]
    rows = _with_ratios(with_labels(rows))
    return Report(
        version=version("mobilevit-deploy"),
        folder=folder,
        created_at=now,
        rows=tuple(rows),
        broken=tuple(broken),
        warnings=(*_warnings(rows), *remarks),
    )


def read_artifacts(root: Path) -> tuple[dict[str, Manifest], list[Broken]]:
    """The manifests in ``root`` and its subfolders, by the paths of their artifacts, and what is damaged."""
    manifests: dict[str, Manifest] = {}
    broken = []
    for note in visible(root, "*.json"):
        if not _is_manifest(note):
            continue
        path = note.with_suffix("")
        name = path.relative_to(root).as_posix()
        try:
            manifests[name] = open_artifact(path)[1]
        except ArtifactError as error:
            broken.append(Broken(path=name, reason=f"{error.problem} {error.remedy}"))
    return dict(sorted(manifests.items(), key=lambda item: _order(item[1]))), broken


def _order(manifest: Manifest) -> tuple[object, ...]:
    subject = Subject.of(manifest)
    return subject.model, subject.image_size, subject.target, subject.precision, subject.file


def _read_measurements(root: Path) -> tuple[list[Measurement], list[str]]:
    measured: list[Measurement] = []
    unreadable = []
    for path in visible(root, "*.jsonl"):
        try:
            if holds_measurements(path):
                measured += read_measurements(path)
        except ArtifactError as error:
            unreadable.append(f"{error.problem} {error.remedy}")
    return measured, unreadable


def _is_manifest(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # A damaged one beside its artifact is to be told, not passed over.
        return bool(path.with_suffix("").suffix) and path.with_suffix("").exists()
    return isinstance(content, dict) and content.get("format") == artifact.FORMAT


def _rows(path: str, manifest: Manifest, measured: Sequence[Measurement]) -> list[Row]:
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
    row = Row(path=path, manifest=manifest, emulated=_emulated(measured))
    rows = [row.model_copy(update={"timed": each}) for each in timed if each and each.device not in refused]
    rows += [row.model_copy(update=why) for why in _refusals(refused.values())]
    return rows or [row]


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


def _with_ratios(rows: Sequence[Row]) -> list[Row]:
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


def _warnings(rows: Sequence[Row]) -> list[str]:
    timed = [(row.label, row.timed) for row in rows if row.timed]
    places: dict[tuple[object, ...], list[Timed]] = defaultdict(list)
    for _, each in timed:
        places[each.device, each.threads, each.machine.cpu, each.machine.usable_cores].append(each)
    several = len({each.device for _, each in timed}) > 1
    found = [
        f"{place[0].device}: {warning}" if several else warning
        for place in places.values()
        for warning in doubts.warnings(
            place[0].machine, [state for each in place for state in each.states], threads=place[0].threads
        )
    ]
    return list(dict.fromkeys([*found, *_unfair(rows), *_unsteady(timed)]))


def _unfair(rows: Sequence[Row]) -> Iterator[str]:
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, timed in ((row.name, row.timed) for row in rows if row.timed):
        for reason in timed.invalid:
            by_reason[timed.device, reason].append(name)
    for (device, reason), names in by_reason.items():
        count = "1 process" if len(names) == 1 else f"{len(names)} processes"
        artifacts = ", ".join(dict.fromkeys(names))
        yield f"{device}: {count} of {artifacts} left out, for no fair time was measured: {reason}"


def _unsteady(timed: Sequence[tuple[str, Timed]]) -> Iterator[str]:
    single = [label for label, each in timed if each.latency.cv is None]
    if single:
        yield (
            f"{', '.join(single)}: measured in a single process, which says nothing about the next one. "
            "Measure at least 3 rounds."
        )
    differing = {label: each.latency.cv for label, each in timed if (each.latency.cv or 0.0) > UNSTEADY_CV}
    if differing:
        worst = max(cv for cv in differing.values() if cv)
        yield (
            f"{', '.join(differing)}: processes differ by up to {worst:.0%} (CV of their medians). Measure "
            "more rounds on a quieter machine before you believe a small difference."
        )
