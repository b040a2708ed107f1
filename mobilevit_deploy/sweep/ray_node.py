"""A node of a Ray cluster as a device: what ``HostRunner`` does, there, one job at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.measurement import Context, Counted, Quoted, Timing, Untimed, Weighed, Work
from mobilevit_deploy.devices.host import HostRunner
from mobilevit_deploy.devices.runner import Job
from mobilevit_deploy.errors import DeployError, DeviceLostError, first_line
from mobilevit_deploy.sweep.packing import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RayNode:
    """Measures on one node; its machine is in every measurement.

    Args:
        node: its id.
        hostname: what tells it from the others.
        resource: its custom resource, of which each job takes one.
    """

    context: Context = "host"
    works: tuple[Work, ...] = HostRunner.works
    tools: tuple[str, ...] = ()

    def __init__(self, node: str, hostname: str, resource: str) -> None:
        self.name = f"host:{hostname}"
        self._node = node
        self._resource = resource
        self._sent: dict[str, Any] = {}

    def cannot_run(self, manifest: Manifest) -> str | None:
        """See ``DeviceRunner.cannot_run``."""
        reason: str | None = self._there(lambda host: host.cannot_run(manifest))
        return reason

    def settle(self, on_wait: Callable[[str], None]) -> None:
        """Nothing is waited for, as on this machine."""

    def proof_holds(self, manifest: Manifest) -> bool:
        """Whether the libraries that proved it are the node's."""
        return bool(self._there(lambda host: host.proof_holds(manifest)))

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        """See ``DeviceRunner.outputs``."""
        found: tuple[str, Sequence[tuple[NDArray[Any], ...]]] = self._there(
            lambda host, local: host.outputs(local, inputs), job
        )
        return found

    def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
        """See ``DeviceRunner.measure``."""
        outcome: Timing | Weighed | Untimed = self._there(lambda host, local: host.measure(local), job)
        return outcome

    def close(self) -> None:
        """Free the artifacts that were sent."""
        self._sent.clear()

    def _there(self, work: Callable[..., Any], job: Job | None = None) -> Any:
        """What ``work`` gives there, of a ``HostRunner`` and, if there is a job, of the job with its file."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = ray.remote(
            num_cpus=1,
            resources={self._resource: 1},
            scheduling_strategy=NodeAffinitySchedulingStrategy(self._node, soft=False),
        )(_work)
        running = task.remote(work, job, self._packed(job) if job else None)
        try:
            answer = ray.get(running)
        except ray.exceptions.RayError as error:
            raise DeviceLostError(
                f"The Ray node {self.name} went away: {first_line(error)}.",
                remedy="Run the same command again once it is back.",
            ) from error
        except BaseException:
            ray.cancel(running)  # what has begun there ends with its samples, what has not never begins
            raise
        if isinstance(answer, DeployError):
            raise answer
        return answer

    def _packed(self, job: Job) -> Any:
        """The artifact in the object store, put there once."""
        import ray

        digest = job.manifest.sha256
        if digest not in self._sent:
            self._sent[digest] = ray.put(pack(job.path))
        return self._sent[digest]


def _work(work: Callable[..., Any], job: Job | None, packed: bytes | None) -> Any:
    """On the node. Errors are returned: Ray would wrap what is raised."""
    try:
        if job is None or packed is None:
            return work(HostRunner())
        with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-") as folder:
            unpack(packed, Path(folder))
            return work(HostRunner(), job.model_copy(update={"path": Path(folder) / job.manifest.file}))
    except DeployError as error:
        return error
