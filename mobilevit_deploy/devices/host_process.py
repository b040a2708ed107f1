"""The process that ``HostRunner`` starts: reads a job from standard input, writes its answer into a folder.

Standard output stays out of it: runtimes print there what they like.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.bench import environment
from mobilevit_deploy.bench.measurement import Timing, Untimed, Weighed
from mobilevit_deploy.bench.sampling import sample
from mobilevit_deploy.devices.runner import INPUT, Job, noise
from mobilevit_deploy.errors import DeployError, SessionError
from mobilevit_deploy.target import Target, get_target

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUTS, OUTPUTS, _ANSWER_FILE = "inputs.npz", "outputs.npz", "answer.json"

_WEIGHED_RUNS = 3
"""Inferences in a memory pass: the first allocates, and a later one may still."""

_PREPROCESSED = 5
"""Pictures that are preprocessed under the clock."""


class _Failure(BaseModel):
    problem: str
    remedy: str


class _Ran(BaseModel):
    engine: str


_ANSWER: TypeAdapter[Timing | Weighed | Untimed | _Ran | _Failure] = TypeAdapter(
    Timing | Weighed | Untimed | _Ran | _Failure
)


def read_outcome(folder: Path) -> Timing | Weighed | Untimed:
    """What the process measured.

    Raises:
        SessionError: the runtime refused the artifact.
    """
    answer = _read(folder)
    assert not isinstance(answer, _Ran)
    return answer


def read_engine(folder: Path) -> str:
    """Which engine made the outputs.

    Raises:
        SessionError: the runtime refused the artifact.
    """
    answer = _read(folder)
    assert isinstance(answer, _Ran)
    return answer.engine


def write_arrays(path: Path, runs: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Write the arrays of each run."""
    import numpy as np

    arrays = {f"{run} {index}": array for run, row in enumerate(runs) for index, array in enumerate(row)}
    np.savez(path, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> list[tuple[NDArray[Any], ...]]:
    """Read what ``write_arrays`` wrote."""
    import numpy as np

    runs: dict[int, list[NDArray[Any]]] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            runs.setdefault(int(name.split()[0]), []).append(file[name])
    return [tuple(row) for row in runs.values()]


def cores_of(mask: str) -> set[int]:
    """The cores of this machine in a hexadecimal mask; empty if it is none, or holds others."""
    try:
        bits = int(mask, 16)
    except ValueError:
        return set()
    cores = {core for core in range(bits.bit_length()) if bits >> core & 1}
    return cores if cores <= set(range(os.cpu_count() or 1)) else set()


def main() -> None:
    """Do what the first argument says with the job on standard input; the second is the folder."""
    work, folder = sys.argv[1], Path(sys.argv[2])
    job = Job.model_validate_json(sys.stdin.buffer.read())
    if job.cores and hasattr(os, "sched_setaffinity"):  # before the runtime starts its threads
        os.sched_setaffinity(0, cores_of(job.cores))
    answer: Timing | Weighed | Untimed | _Ran | _Failure
    try:
        if work == "outputs":
            answer = _run(job, folder)
        elif work == "memory":
            answer = _weigh(job)
        else:
            answer = _time(job)
    except DeployError as error:
        answer = _Failure(problem=error.problem, remedy=error.remedy)
    (folder / _ANSWER_FILE).write_bytes(_ANSWER.dump_json(answer))


def _read(folder: Path) -> Timing | Weighed | Untimed | _Ran:
    answer = _ANSWER.validate_json((folder / _ANSWER_FILE).read_bytes())
    if isinstance(answer, _Failure):
        raise SessionError(answer.problem, remedy=answer.remedy)
    return answer


def _run(job: Job, folder: Path) -> _Ran:
    session = get_target(job.manifest.target).open_session(job.artifact, threads=job.threads)
    try:
        write_arrays(folder / OUTPUTS, [session.run(*row) for row in read_arrays(folder / INPUTS)])
        return _Ran(engine=session.engine)
    finally:
        session.close()


def _weigh(job: Job) -> Weighed | Untimed:
    target = get_target(job.manifest.target)
    inputs = noise(job.artifact)
    before = _resident()
    session = target.open_session(job.artifact, threads=job.threads)
    try:
        if not session.measurable:
            return _no_runtime(session.engine)
        for _ in range(_WEIGHED_RUNS):
            session.run(*inputs)
        return Weighed(
            engine=session.engine,
            before_bytes=before,
            peak_bytes=environment.peak_memory_bytes(),
            pss_bytes=_proportional(),
        )
    finally:
        session.close()


def _time(job: Job) -> Timing | Untimed:
    target, artifact = get_target(job.manifest.target), job.artifact
    engine, measurable = _rehearse(target, artifact, job.threads)
    if not measurable:
        return _no_runtime(engine)
    preprocess = _preprocess(job)
    before = environment.conditions()
    taken = sample(lambda: target.open_session(artifact, threads=job.threads), noise(artifact), job.samples)
    after = environment.conditions()
    return Timing(
        engine=engine,
        input=INPUT,
        **vars(taken),
        preprocess_ms=preprocess,
        cores=job.cores,
        machine=environment.machine(target.libraries),
        before=before,
        after=after,
    )


def _rehearse(target: Target, artifact: Artifact, threads: int) -> tuple[str, bool]:
    # Opens the file once outside the clock: importing the runtime is no part of loading a model.
    session = target.open_session(artifact, threads=threads)
    try:
        return session.engine, session.measurable
    finally:
        session.close()


def _preprocess(job: Job) -> tuple[float, ...]:
    """Milliseconds to make the input out of a decoded photograph of 512 x 512 pixels."""
    from mobilevit_deploy.demo import parity_photographs
    from mobilevit_deploy.image import load_image

    (given,) = job.artifact.inputs
    picture = load_image(parity_photographs()[0])
    durations = []
    for _ in range(1 + _PREPROCESSED):
        begin = time.perf_counter_ns()
        job.manifest.preprocessing.feed(picture, given)
        durations.append((time.perf_counter_ns() - begin) / 1e6)
    return tuple(durations[1:])


def _no_runtime(engine: str) -> Untimed:
    return Untimed(
        status="not-timed",
        reason=f"{engine} proves that the file is right; its speed says nothing about any device.",
    )


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _proportional() -> int | None:
    import psutil

    return getattr(psutil.Process().memory_full_info(), "pss", None)


if __name__ == "__main__":
    main()
