"""The process that ``HostRunner`` starts: reads a request from standard input, writes the answer to a file.

Standard output stays out of it: runtimes print there what they like.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.bench import environment
from mobilevit_deploy.bench.measurement import Timing, Untimed
from mobilevit_deploy.bench.sampling import sample
from mobilevit_deploy.devices.runner import Job
from mobilevit_deploy.errors import DeployError, SessionError
from mobilevit_deploy.target import Target, get_target

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "uniform noise over the input's range (seed 0)"


class _Failure(BaseModel):
    problem: str
    remedy: str


_ANSWER: TypeAdapter[Timing | Untimed | _Failure] = TypeAdapter(Timing | Untimed | _Failure)


def read_answer(path: Path) -> Timing | Untimed:
    """What the process wrote.

    Raises:
        SessionError: the runtime refused the artifact.
    """
    answer = _ANSWER.validate_json(path.read_bytes())
    if isinstance(answer, _Failure):
        raise SessionError(answer.problem, remedy=answer.remedy)
    return answer


def main() -> None:
    """Measure what standard input asks for."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    answer: Timing | Untimed | _Failure
    try:
        answer = _measure(job)
    except DeployError as error:
        answer = _Failure(problem=error.problem, remedy=error.remedy)
    Path(sys.argv[1]).write_bytes(_ANSWER.dump_json(answer))


def _measure(job: Job) -> Timing | Untimed:
    target = get_target(job.manifest.target)
    artifact = job.manifest.artifact(job.path.parent)
    engine, measurable = _rehearse(target, artifact, job.threads)
    if not measurable:
        return Untimed(
            status="not-timed",
            reason=f"{engine} proves that the file is right; its speed says nothing about any device.",
        )
    before = environment.conditions()
    taken = sample(lambda: target.open_session(artifact, threads=job.threads), _inputs(artifact), job.samples)
    after = environment.conditions()
    return Timing(
        engine=engine,
        input=INPUT,
        **vars(taken),
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


def _inputs(artifact: Artifact) -> tuple[NDArray[Any], ...]:
    import numpy as np

    random = np.random.default_rng(0)
    return tuple(
        random.integers(0, 256, spec.shape, np.uint8)
        if spec.dtype == "uint8"
        else random.random(spec.shape, np.float32).astype(spec.dtype)
        for spec in artifact.inputs
    )


if __name__ == "__main__":
    main()
