"""What a report is made of: the artifacts of a folder, with what was proven and measured of each."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.bench.measurement import Context, Subject, Untimed
from mobilevit_deploy.bench.statistics import Estimate, Summary
from mobilevit_deploy.devices.vendor.summary import Summary as ToolSummary
from mobilevit_deploy.parity.result import ParityResult

SCHEMA_VERSION = 2


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


class QuotedTool(BaseModel):
    """What a vendor's own tool printed of an artifact on a device."""

    model_config = ConfigDict(frozen=True)

    device: str
    threads: int
    summary: ToolSummary


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
        quoted: what vendors' own tools printed.
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
    quoted: tuple[QuotedTool, ...] = ()

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
