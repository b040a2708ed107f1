"""Artifacts on a phone: proven there, timed while it is cool, on the cores that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.environment import Machine
from mobilevit_deploy.bench.measurement import Context, Counted, Quoted, Timing, Untimed, Weighed, Work
from mobilevit_deploy.bench.readiness import throttled, wait_until_ready
from mobilevit_deploy.devices import android
from mobilevit_deploy.devices.adb.transport import AdbTransport
from mobilevit_deploy.devices.native import commands, output
from mobilevit_deploy.devices.remote import Place, Remote, no_runner
from mobilevit_deploy.devices.runner import INPUT, Job
from mobilevit_deploy.devices.vendor import Run, find_tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMEOUT_S = 600.0
"""One process, warm-up and samples; on the slowest phones an inference takes seconds."""

COOLING_LIMIT_S = 900.0
"""A phone that is still warm after a quarter of an hour lies in the sun."""


class AdbRunner:
    """See ``DeviceRunner``.

    Args:
        serial: of the phone; None for ``$ANDROID_SERIAL`` or the only one.
        tools: vendors' benchmark tools, built for the phone; each is known by the beginning of its name.

    Raises:
        UsageError: a tool is none that is known, or is not there.
        DeviceError: there is no such phone, or it cannot be used.
    """

    context: Context = "adb-shell"
    works: tuple[Work, ...] = ("time", "memory")

    def __init__(self, serial: str | None = None, *, tools: Sequence[Path] = ()) -> None:
        self._tools = {tool.target: (tool, file) for tool, file in map(find_tool, tools)}
        self.tools = tuple(self._tools)
        self._transport = AdbTransport(serial)
        self._remote = Remote(self._transport, timeout_s=TIMEOUT_S)
        self.name = self._transport.name

    def cannot_run(self, manifest: Manifest) -> str | None:
        """See ``DeviceRunner.cannot_run``."""
        if not self._machine.is_arm64:
            return f"The runner is for arm64, and {self.name} is {self._machine.architecture}."
        return no_runner(manifest)

    def settle(self, on_wait: Callable[[str], None]) -> None:
        """See ``DeviceRunner.settle``."""
        wait_until_ready(lambda: android.conditions(self._transport), COOLING_LIMIT_S, on_wait)

    def proof_holds(self, manifest: Manifest) -> bool:  # noqa: ARG002
        """Never: the export was proven on another machine."""
        return False

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        """See ``DeviceRunner.outputs``."""
        return self._remote.outputs(job, inputs)

    def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
        """See ``DeviceRunner.measure``; ``cores`` may name a kind of cores, which becomes a mask."""
        cores = int(android.core_mask(self._machine, job.cores), 16) if job.cores else None
        if job.work == "tool":
            return self._quote(job, cores)
        with self._remote.place(job) as place:
            file = self._remote.feed_noise(place, job)
            if job.work == "memory":
                return self._weigh(job, place, file, cores)
            return self._time(job, place, file, cores)

    def close(self) -> None:
        """A command that still runs there ends with the connection that its reader closes."""

    @cached_property
    def _machine(self) -> Machine:
        return android.machine(self._transport)

    def _time(self, job: Job, place: Place, file: str, cores: int | None) -> Timing:
        command = commands.time(place.model, file, samples=job.samples, threads=job.threads, cores=cores)
        before = android.conditions(self._transport)
        times = self._remote.run([*place.argv, *command], output.Times)
        after = android.conditions(self._transport)
        return Timing(
            engine=place.engine,
            input=INPUT,
            load_ms=times.load_ms,
            first_ms=times.first_ms,
            warmup_ms=times.warmup_ms,
            samples_ms=times.samples_ms,
            cores=times.affinity,
            machine=self._machine,
            before=before,
            after=after,
            invalid=throttled(before, after) or "",
        )

    def _quote(self, job: Job, cores: int | None) -> Quoted:
        tool, file = self._tools[job.manifest.target]
        with self._remote.lent(job, file) as (program, model):
            mask = None if cores is None else f"{cores:x}"
            command = tool.command(Run(program, model, job.threads, job.samples, mask))
            ended = self._transport.run(command, timeout_s=TIMEOUT_S)
            return Quoted(summary=tool.parse(f"{ended.stdout}\n{ended.stderr}"))

    def _weigh(self, job: Job, place: Place, file: str, cores: int | None) -> Weighed | Untimed:
        command = commands.memory(place.model, file, threads=job.threads, cores=cores)
        memory = self._remote.run([*place.argv, *command], output.Memory)
        if memory.library_rss_bytes is None or memory.peak_rss_bytes is None:
            return Untimed(status="not-timed", reason="The device does not tell how much memory is used.")
        return Weighed(
            engine=place.engine,
            before_bytes=memory.library_rss_bytes,
            peak_bytes=memory.peak_rss_bytes,
            pss_bytes=memory.pss_bytes,
        )
