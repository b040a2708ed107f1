"""Which artifact is measured when: in turns, so that what changes with time hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.bench.measurement import Measurement, Subject, Timing, Untimed
from mobilevit_deploy.bench.records import Recorder
from mobilevit_deploy.devices.host import HostRunner
from mobilevit_deploy.devices.runner import DeviceRunner, Job
from mobilevit_deploy.errors import DeployError


@dataclass(frozen=True)
class Progress:
    """How far a benchmark is.

    Attributes:
        done: processes that have ended.
        total: processes in all.
        running: what is measured now; None when everything is done.
        round: of ``running``.
        latest: the measurement made last.
    """

    done: int
    total: int
    running: Subject | None
    round: int
    latest: Measurement | None


def run(
    paths: Sequence[str | Path],
    *,
    rounds: int = 3,
    samples: int = 50,
    threads: int = 1,
    output: str | Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    runner: DeviceRunner | None = None,
) -> list[Measurement]:
    """Measure artifacts in turns, A B C A B C, each turn in a process of its own.

    An artifact that failed parity is refused, and one that cannot be timed says why; it gets one measurement
    without a time, and the others go on.

    Args:
        paths: of the artifacts; their manifests lie beside them.
        rounds: processes an artifact.
        samples: steady-state samples a process.
        threads: that the runtimes may use.
        output: append each measurement to this file as it is made.
        on_progress: told as each process begins, and at the end.
        runner: where to measure; None is this machine.

    Raises:
        ArtifactError: an artifact is missing or changed after export; nothing has been measured then.
        OutputError: ``output`` cannot be written.
    """
    if not paths or min(rounds, samples, threads) < 1:
        raise ValueError("a benchmark needs an artifact, and at least one round, sample and thread")
    runner = runner or HostRunner()
    jobs = [
        Job(path=Path(path), manifest=open_artifact(Path(path))[1], samples=samples, threads=threads)
        for path in paths
    ]
    recorder = Recorder(Path(output)) if output is not None else None
    made: list[Measurement] = []
    untimed: set[Path] = set()
    turns = [(number, job) for number in range(1, rounds + 1) for job in jobs]
    for done, (number, job) in enumerate(turns):
        if job.path in untimed:
            continue
        on_progress(Progress(done, len(turns), Subject.of(job.manifest), number, made[-1] if made else None))
        made.append(measure(job, number, runner))
        if recorder:
            recorder.append(made[-1])
        if made[-1].timing is None:
            untimed.add(job.path)
    on_progress(Progress(len(turns), len(turns), None, rounds, made[-1]))
    return made


def measure(job: Job, number: int, runner: DeviceRunner) -> Measurement:
    """Measure one artifact in one process, round ``number``; what goes wrong becomes its reason."""
    started_at = datetime.now(UTC)
    return Measurement(
        subject=Subject.of(job.manifest),
        device=runner.name,
        context=runner.context,
        threads=job.threads,
        round=number,
        started_at=started_at,
        outcome=_outcome(job, runner),
    )


def _outcome(job: Job, runner: DeviceRunner) -> Timing | Untimed:
    manifest = job.manifest
    if not manifest.passed:
        missing = manifest.parity.verdict == "not-run"
        why = "parity has not been run" if missing else f"it failed: {manifest.reasons[0]}"
        return Untimed(status="refused", reason=f"A file is timed once it has passed its checks; {why}.")
    try:
        return runner.measure(job)
    except DeployError as error:
        return Untimed(status="failed", reason=f"{error.problem} {error.remedy}")
