"""Which artifact is measured when: in turns, so that what changes with time hits all of them alike.

On each device: prove every artifact, time them A B C A B C, each turn in a process of its own, until the
medians are known well enough, and then look at their memory. Devices work side by side.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.bench.measurement import (
    Checked,
    Counted,
    Measurement,
    Outcome,
    Quoted,
    Subject,
    Timing,
    Untimed,
    Weighed,
    Work,
)
from mobilevit_deploy.bench.records import Recorder, read_measurements
from mobilevit_deploy.bench.statistics import summarise
from mobilevit_deploy.devices.host import HostRunner
from mobilevit_deploy.devices.runner import DeviceRunner, Job
from mobilevit_deploy.errors import DeployError, DeviceError, UsageError

_DOING: dict[Work, str] = {"count": "instructions", "memory": "memory", "tool": "the vendor's own tool"}

ROUNDS_MOST = 30
"""Where this many processes do not settle a median, more would not either."""

REPEATS = 2
"""How often a turn that was no fair time is tried again, before the next round."""


@dataclass(frozen=True)
class Progress:
    """How far a benchmark is on one device.

    Attributes:
        device: its name.
        done: processes that have ended.
        total: processes in all, as far as is known: more rounds may be needed.
        running: what is measured now; None when everything is done.
        doing: which pass, such as ``parity`` or ``round 2``; or what is waited for.
        latest: the measurement made last.
    """

    device: str
    done: int
    total: int
    running: Subject | None
    doing: str
    latest: Measurement | None


@dataclass(frozen=True)
class Settings:
    """How thoroughly artifacts are measured.

    Attributes:
        rounds: processes an artifact, at least.
        samples: steady-state samples a process.
        precision: more rounds follow, up to ``ROUNDS_MOST``, until each median's interval lies within this
            share of it; None asks for no more than ``rounds``.
        max_seconds: no further round begins after this long.
        memory: whether memory is looked at, in a pass of its own.
    """

    rounds: int = 5
    samples: int = 50
    precision: float | None = None
    max_seconds: float = 300.0
    memory: bool = True


def run(
    paths: Sequence[str | Path],
    *,
    rounds: int = 5,
    samples: int = 50,
    threads: int = 1,
    cores: str = "",
    precision: float | None = None,
    max_seconds: float = 300.0,
    memory: bool = True,
    model: str | Path | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    devices: Sequence[DeviceRunner] = (),
) -> list[Measurement]:
    """Measure artifacts in turns, A B C A B C, each turn in a process of its own.

    An artifact that is not right on a device is refused there, and one that cannot be timed says why; the
    others go on.

    Args:
        paths: of the artifacts; their manifests lie beside them.
        rounds: see ``Settings``.
        samples: see ``Settings``.
        threads: that the runtimes may use.
        cores: see ``Job``.
        precision: see ``Settings``.
        max_seconds: see ``Settings``.
        memory: see ``Settings``.
        model: the reference that artifacts are proven against on a device; None takes the one that each
            manifest names.
        output: append each measurement to this file as it is made.
        resume: on each device, go on with the last run in ``output`` with these threads and cores, whose
            measurements are returned too.
        on_progress: told as each process begins, and at the end; by a thread of each device.
        devices: where to measure; none is this machine.

    Raises:
        ArtifactError: an artifact has no readable manifest, or changed since export; nothing has been
            measured then.
        OutputError: ``output`` cannot be written.
        DeviceError: a device could not be used, or went away; what was measured is kept.
    """
    if not paths or min(rounds, samples, threads) < 1:
        raise ValueError("a benchmark needs an artifact, and at least one round, sample and thread")
    settings = Settings(rounds, samples, precision, max_seconds, memory)
    jobs = [
        Job(
            path=Path(path),
            manifest=open_artifact(Path(path))[1],
            samples=samples,
            threads=threads,
            cores=cores,
        )
        for path in paths
    ]
    earlier = read_measurements(Path(output)) if resume and output and Path(output).exists() else []
    recorder = Recorder(Path(output)) if output is not None else None
    run_id = uuid.uuid4().hex
    stop = threading.Event()
    benches = [
        _Bench(device, jobs, settings, model, run_id, earlier, recorder, on_progress, stop)
        for device in devices or (HostRunner(),)
    ]
    _side_by_side(benches, stop)
    return [measurement for bench in benches for measurement in bench.made]


def measure(job: Job, device: DeviceRunner) -> Outcome:
    """Do one job; what goes wrong with the artifact becomes its reason."""
    try:
        return device.measure(job)
    except (DeviceError, UsageError):  # not the artifact's fault
        raise
    except DeployError as error:
        return Untimed(status="failed", reason=f"{error.problem} {error.remedy}")


def _side_by_side(benches: Sequence[_Bench], stop: threading.Event) -> None:
    """A thread a device; a single one has this thread, in which Ctrl-C ends what runs at once."""
    if len(benches) == 1:
        benches[0].go()
        return
    threads = [threading.Thread(target=bench.go_guarded, daemon=True) for bench in benches]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():  # joined in steps: a plain join is deaf to Ctrl-C on some systems
                thread.join(0.2)
    except BaseException:
        stop.set()
        for bench in benches:
            bench.device.close()
        raise
    if failed := next((bench.error for bench in benches if bench.error), None):
        raise failed


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The benchmark was interrupted on another thread."""


class _Bench:
    """All that is done on one device."""

    def __init__(
        self,
        device: DeviceRunner,
        jobs: Sequence[Job],
        settings: Settings,
        model: str | Path | None,
        run_id: str,
        earlier: Iterable[Measurement],
        recorder: Recorder | None,
        on_progress: Callable[[Progress], None],
        stop: threading.Event,
    ) -> None:
        self.device = device
        self.error: BaseException | None = None
        self._jobs = list(jobs)
        self._settings = settings
        self._model = model
        self._recorder = recorder
        self._on_progress = on_progress
        self._stop = stop
        self._left = list(jobs)
        self._rounds = settings.rounds
        here = [each for each in earlier if self._is_here(each)]
        self._run_id = here[-1].run if here else run_id
        subjects = [job.subject for job in jobs]
        self.made = [each for each in here if each.run == self._run_id and each.subject in subjects]

    def go_guarded(self) -> None:
        """``go`` for a thread of its own: what ends it is kept in ``error``."""
        try:
            self.go()
        except _Stopped:
            pass
        except BaseException as error:
            self.error = error  # raised again by the thread that waits

    def go(self) -> None:
        """Prove, time and look at everything that was not before."""
        self._left = [job for job in self._jobs if self._is_right(job)]
        if "time" in self.device.works:
            self._time()
        if "count" in self.device.works:
            self._once("count", Counted)
        if "memory" in self.device.works and self._settings.memory:
            self._once("memory", Weighed)
        self._left = [job for job in self._jobs if self._may_quote(job)]
        self._once("tool", Quoted)
        self._tell(None, "done")

    def _is_here(self, measurement: Measurement) -> bool:
        job = self._jobs[0]
        return (measurement.device, measurement.threads, measurement.cores) == (
            self.device.name,
            job.threads,
            job.cores,
        )

    def _of(self, job: Job) -> list[Measurement]:
        return [each for each in self.made if each.subject == job.subject]

    def _is_right(self, job: Job) -> bool:
        """Whether what the file computes on this device was proven; whatever says no is on the record."""
        if any(each.refusal for each in self._of(job)):
            return False
        if not job.manifest.passed:
            self._keep(job, "parity", _refusal(job), 1)
            return False
        if why := self.device.cannot_run(job.manifest):
            self._keep(job, "parity", Untimed(status="not-timed", reason=why), 1)
            return False
        if self.device.proof_holds(job.manifest) or any(
            isinstance(each.outcome, Checked) for each in self._of(job)
        ):
            return True
        self._tell(job, "parity")
        outcome = self._proof(job)
        self._keep(job, "parity", outcome, 1)
        return isinstance(outcome, Checked) and outcome.parity.passed

    def _proof(self, job: Job) -> Outcome:
        from mobilevit_deploy.parity.prove import prove
        from mobilevit_deploy.pipeline import reference_of
        from mobilevit_deploy.target import get_target

        tolerance = get_target(job.manifest.target).precisions[job.manifest.precision]
        try:
            return Checked(
                parity=prove(
                    job.artifact,
                    tolerance,
                    reference_of(job.manifest, self._model),
                    lambda inputs: self.device.outputs(job, inputs),
                )
            )
        except DeviceError:
            raise
        except DeployError as error:
            return Untimed(status="failed", reason=f"{error.problem} {error.remedy}")

    def _time(self) -> None:
        begin, number = monotonic(), 0
        while self._left and (
            number < self._settings.rounds or not self._enough(number, monotonic() - begin)
        ):
            number += 1
            self._rounds = max(self._rounds, number)
            self._left = [job for job in self._left if self._turn(job, number)]

    def _enough(self, rounds: int, seconds: float) -> bool:
        wanted = self._settings.precision
        if wanted is None or rounds >= ROUNDS_MOST or seconds >= self._settings.max_seconds:
            return True
        return all(self._spread(job) <= wanted for job in self._left)

    def _spread(self, job: Job) -> float:
        """Half the width of the interval of the median, as a share of it."""
        rounds = [each.timing.samples_ms for each in self._of(job) if each.timing]
        if len(rounds) < 2:  # one process says nothing about the next
            return float("inf")
        p50 = summarise(rounds).p50
        return (p50.interval.high - p50.interval.low) / 2 / p50.value

    def _turn(self, job: Job, number: int) -> bool:
        """One process; False if the artifact should not be tried again."""
        taken = [each for each in self._of(job) if isinstance(each.outcome, Timing) and each.round == number]
        if any(each.timing for each in taken):
            return True
        for _ in range(len(taken), 1 + REPEATS):
            self._tell(job, f"round {number}")
            self._settle(job)
            outcome = measure(job, self.device)
            self._keep(job, "time", outcome, number)
            if isinstance(outcome, Untimed):
                return False
            if isinstance(outcome, Timing) and not outcome.invalid:
                return True
        return True

    def _settle(self, job: Job) -> None:
        self.device.settle(lambda why: self._tell(job, why))

    def _once(self, work: Work, kind: type[Weighed | Counted | Quoted]) -> None:
        for job in list(self._left):
            if any(isinstance(each.outcome, kind) for each in self._of(job)):
                continue
            self._tell(job, _DOING[work])
            if work == "tool":  # a clock, too
                self._settle(job)
            outcome = measure(job.model_copy(update={"work": work}), self.device)
            self._keep(job, work, outcome, 1)
            if isinstance(outcome, Untimed):
                self._left.remove(job)

    def _may_quote(self, job: Job) -> bool:
        """Whether a tool may time it: nothing proved it wrong; without a runner, nothing could."""
        proofs = [each.outcome.parity for each in self._of(job) if isinstance(each.outcome, Checked)]
        right = job.manifest.passed and all(proof.passed for proof in proofs)
        return right and job.manifest.target in self.device.tools

    def _keep(self, job: Job, work: Work, outcome: Outcome, number: int) -> None:
        measurement = Measurement(
            run=self._run_id,
            subject=job.subject,
            device=self.device.name,
            context=self.device.context,
            threads=job.threads,
            cores=job.cores,
            work=work,
            round=number,
            started_at=datetime.now(UTC),
            outcome=outcome,
        )
        self.made.append(measurement)
        if self._recorder:
            self._recorder.append(measurement)

    def _tell(self, job: Job | None, doing: str) -> None:
        if self._stop.is_set():
            raise _Stopped
        self._on_progress(
            Progress(
                self.device.name,
                *self._progress(),
                job.subject if job else None,
                doing,
                self.made[-1] if self.made else None,
            )
        )

    def _progress(self) -> tuple[int, int]:
        """Processes that ended well, and those that there will be, as far as is known."""
        works = self.device.works
        each = self._rounds * ("time" in works) + ("count" in works)
        each += "memory" in works and self._settings.memory
        left = [job.subject for job in self._left]
        ended = [
            measurement.subject
            for measurement in self.made
            if measurement.timing or isinstance(measurement.outcome, Weighed | Counted)
        ]
        return len(ended), len(left) * each + sum(subject not in left for subject in ended)


def _refusal(job: Job) -> Untimed:
    missing = job.manifest.parity.verdict == "not-run"
    why = "parity has not been run" if missing else f"it failed: {job.manifest.reasons[0]}"
    return Untimed(status="refused", reason=f"A file is timed once it has passed its checks; {why}.")
