"""A Ray cluster as the place of a sweep: its nodes export, and, if labelled so, measure.

Files come back through Ray's object store; checkpoints and pictures are read by the nodes, from the same
path as here. Phones stay with this machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mobilevit_deploy import parallel
from mobilevit_deploy.devices.runner import DeviceRunner
from mobilevit_deploy.devices.selection import open_devices
from mobilevit_deploy.errors import DeviceError, ExportError, TargetError, first_line
from mobilevit_deploy.output import publish, staging
from mobilevit_deploy.pipeline import Exported, libraries
from mobilevit_deploy.sweep.packing import pack, unpack
from mobilevit_deploy.sweep.ray_node import RayNode
from mobilevit_deploy.target import get_target

_OBJECT_STORE_BYTES = 500_000_000
"""Of a cluster that is started here: room for the artifacts on their way, and no third of all memory."""

_PATIENCE_S = 5.0
"""How long interrupted exports may take to clean up."""


@contextmanager
def joined(address: str, timing: str | None) -> Iterator[Cluster]:
    """Join a cluster, and leave it on every way out.

    Args:
        address: ``auto`` for the cluster that this machine is in, ``local`` for one started here, or where
            it is.
        timing: see ``Cluster``.

    Raises:
        TargetError: Ray is not installed.
        DeviceError: the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise TargetError("Ray is not installed.", remedy="pip install 'mobilevit-deploy[ray]'") from error

    own: dict[str, Any] = {}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise DeviceError(
            f"There is no Ray cluster at '{address}': {first_line(error)}.",
            remedy="Start one with 'ray start --head', or try it on this machine alone: --ray local.",
        ) from error
    try:
        yield Cluster(timing)
    finally:
        ray.shutdown()


class Cluster:
    """The cluster that this process has joined; see ``run.Workplace``.

    Args:
        timing: custom resource of the nodes that ``host`` stands for, one job at a time on each; None keeps
            ``host`` this machine.
    """

    def __init__(self, timing: str | None = None) -> None:
        self._timing = timing

    def export(self, jobs: Sequence[parallel.Job], on_event: parallel.OnEvent) -> dict[str, parallel.Outcome]:
        """See ``Workplace.export``."""
        import ray

        task = ray.remote(num_cpus=1)(_export)
        running = {task.remote(job): job for job in jobs}
        outcomes = {}
        try:
            for job in jobs:
                on_event(job.key, "on the cluster")
            while running:
                (ended, *_), _ = ray.wait(list(running))
                job = running.pop(ended)
                outcome = _received(ended, job)
                outcomes[job.key] = outcome
                on_event(job.key, "failed" if outcome.error else "done")
        finally:
            for left in running:
                ray.cancel(left)  # as Ctrl-C there: processes end, and remove what they wrote
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=_PATIENCE_S)
        return outcomes

    def open_devices(self, name: str) -> list[DeviceRunner]:
        """See ``Workplace.open_devices``."""
        if name != "host" or self._timing is None:
            return open_devices([name])
        return list(_nodes(self._timing))


def _export(job: parallel.Job) -> tuple[parallel.Outcome, bytes]:
    """On a node: run the job in a process of its own, and send the file with what came of it."""
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-") as folder:
        local = replace(job, arguments={**job.arguments, "output": folder})
        outcome = parallel.run([local], on_event=lambda *_: None)[job.key]
        return outcome, pack(outcome.result.path) if outcome.result else b""


def _received(ended: Any, job: parallel.Job) -> parallel.Outcome:
    """The outcome of a job, its artifact moved into place here."""
    import ray

    try:
        outcome, packed = ray.get(ended)
    except ray.exceptions.RayError as error:
        lost = ExportError(
            f"The cluster lost the export of {job.key}: {first_line(error)}.",
            remedy="Run the same command again; the other artifacts are kept.",
        )
        return parallel.Outcome(None, lost, {})
    if outcome.error:
        return outcome  # type: ignore[no-any-return]  # Ray has no types
    manifest, here = outcome.result.manifest, get_target(job.arguments["target"])
    if here.availability().usable and manifest.libraries != libraries(here):
        return parallel.Outcome(None, _other_versions(manifest.libraries, libraries(here)), outcome.stages)
    with staging(job.arguments["output"]) as stage:
        unpack(packed, stage)
        path = publish(stage / manifest.file, manifest, job.arguments["output"])
    return replace(outcome, result=Exported(path, manifest))  # type: ignore[no-any-return]


def _other_versions(there: dict[str, str], here: dict[str, str]) -> TargetError:
    different = [
        f"{name} {there.get(name)}, not {version}"
        for name, version in here.items()
        if there.get(name) != version
    ]
    return TargetError(
        f"A node exported with {', '.join(different)}.",
        remedy="Install the same versions on all nodes.",
    )


def _nodes(resource: str) -> Iterator[RayNode]:
    import ray

    found = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(resource)]
    if not found:
        raise DeviceError(
            f"No node of the Ray cluster has the resource '{resource}'.",
            remedy=f"Start those that shall measure with: ray start --resources '{{\"{resource}\": 1}}'",
        )
    names = [node["NodeManagerHostname"] for node in found]
    for node, name in zip(found, names, strict=True):
        alone = names.count(name) == 1
        yield RayNode(node["NodeID"], name if alone else f"{name}-{node['NodeManagerAddress']}", resource)
