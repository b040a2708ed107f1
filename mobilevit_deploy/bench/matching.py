"""Which measurements of two runs belong to the same artifact, though it was exported anew in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.bench.measurement import Context, Measurement, Timing
from mobilevit_deploy.quantize import Precision


class Identity(BaseModel):
    """What an artifact is and how it was measured, whichever file it lies in.

    Attributes:
        image_size: (height, width).
        file: its name, where that alone tells it from another (another converter, ``--argmax``); else empty.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    image_size: tuple[int, int]
    target: str
    precision: Precision
    device: str
    context: Context
    threads: int
    cores: str = ""
    file: str = ""

    @property
    def name(self) -> str:
        """In full, so that it is the same in every report: ``tiny 256x256 onnx fp32, 1 thread on host``."""
        height, width = self.image_size
        file = f" {self.file}" if self.file else ""
        where = self.device if self.context == "host" else f"{self.device} ({self.context})"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        cores = f" ({self.cores} cores)" if self.cores else ""
        what = f"{self.model} {height}x{width} {self.target} {self.precision}{file}"
        return f"{what}, {threads}{cores} on {where}"


@dataclass(frozen=True)
class Process:
    """A measurement that has a time."""

    measurement: Measurement
    timing: Timing

    @property
    def place(self) -> tuple[object, ...]:
        """What must be equal for two machines to count as one."""
        machine = self.timing.machine
        return machine.name, machine.cpu, machine.architecture, machine.cores, machine.usable_cores

    @property
    def place_name(self) -> str:
        """The machine in a few words."""
        machine = self.timing.machine
        limited = f"{machine.usable_cores} of " if machine.usable_cores < machine.cores else ""
        return f"{' '.join(filter(None, [machine.name, machine.cpu]))} ({limited}{machine.cores} cores)"


@dataclass(frozen=True)
class Selection:
    """One run, sorted by artifact.

    Attributes:
        timed: processes of the latest file of each artifact, in the order they started.
        untimed: why there is no time of the others.
        left_out: how many measurements were of something older.
    """

    timed: dict[Identity, list[Process]]
    untimed: dict[Identity, str]
    left_out: int


def select(base: Sequence[Measurement], new: Sequence[Measurement]) -> tuple[Selection, Selection]:
    """Sort two runs by artifact, in the same terms."""
    contested = _contested(base) | _contested(new)
    return _select(base, contested), _select(new, contested)


def _contested(measured: Iterable[Measurement]) -> set[Identity]:
    """Artifacts that share all but the names of their files."""
    names: dict[Identity, set[str]] = defaultdict(set)
    for measurement in measured:
        names[_identity(measurement)].add(measurement.subject.file)
    return {identity for identity, files in names.items() if len(files) > 1}


def _identity(measurement: Measurement) -> Identity:
    subject = measurement.subject
    return Identity(
        model=subject.model,
        image_size=subject.image_size,
        target=subject.target,
        precision=subject.precision,
        device=measurement.device,
        context=measurement.context,
        threads=measurement.threads,
        cores=measurement.cores,
    )


def _select(measured: Sequence[Measurement], contested: set[Identity]) -> Selection:
    groups: dict[Identity, list[Process]] = defaultdict(list)
    untimed: dict[Identity, str] = {}
    for measurement in sorted(measured, key=lambda each: each.started_at):
        identity = _identity(measurement)
        if identity in contested:
            identity = identity.model_copy(update={"file": measurement.subject.file})
        if (reason := measurement.refusal) is not None:
            # Whatever time it had before, it has none now.
            groups.pop(identity, None)
            untimed[identity] = reason
        elif timing := measurement.timing:
            untimed.pop(identity, None)
            groups[identity].append(Process(measurement, timing))
    timed = {identity: _latest(group) for identity, group in groups.items()}
    kept = sum(map(len, timed.values()))
    return Selection(timed, untimed, left_out=sum(each.timing is not None for each in measured) - kept)


def _latest(group: Sequence[Process]) -> list[Process]:
    """Those of the file, engine and machine that were measured last; a file of results collects many."""

    def same(process: Process) -> tuple[object, ...]:
        return process.measurement.subject.sha256, process.timing.engine, process.place

    return [process for process in group if same(process) == same(group[-1])]
