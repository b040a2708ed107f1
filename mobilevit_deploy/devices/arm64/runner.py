"""Artifacts on emulated ARM: parity of ARM's own kernels, and instructions; no latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.measurement import Context, Counted, Quoted, Timing, Untimed, Weighed, Work
from mobilevit_deploy.devices.arm64 import cpus
from mobilevit_deploy.devices.arm64.emulator import Emulator
from mobilevit_deploy.devices.native import commands
from mobilevit_deploy.devices.remote import Remote, no_runner
from mobilevit_deploy.devices.runner import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFERENCES = 3
"""Counts repeat to a millionth, so that two say enough; the first inference still sets things up."""

TIMEOUT_S = 1800.0
"""A pass over all parity inputs: MobileViT-S in fp32 takes half a minute for each."""


class Arm64Runner:
    """See ``DeviceRunner``.

    Args:
        cpu: one of ``cpus``.

    Raises:
        UsageError: there is no such processor.
        DeviceError: the emulator cannot be had here.
    """

    name = "arm64"
    context: Context = "emulator"
    works: tuple[Work, ...] = ("count",)
    tools: tuple[str, ...] = ()

    def __init__(self, cpu: str = cpus.DEFAULT) -> None:
        self._emulator = Emulator(cpu)
        self._remote = Remote(self._emulator, timeout_s=TIMEOUT_S)

    def cannot_run(self, manifest: Manifest) -> str | None:
        """See ``DeviceRunner.cannot_run``."""
        return no_runner(manifest)

    def settle(self, on_wait: Callable[[str], None]) -> None:
        """Nothing here gets warm."""

    def proof_holds(self, manifest: Manifest) -> bool:  # noqa: ARG002
        """Never: to prove it on ARM's kernels is what this device is for."""
        return False

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        """See ``DeviceRunner.outputs``."""
        engine, outputs = self._remote.outputs(job, inputs)
        return f"{engine} on emulated {self._emulator.cpu.name}", outputs

    def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
        """See ``DeviceRunner.measure``; counts, on one thread, whatever the job's number."""
        with self._remote.place(job) as place:
            counted = commands.count(
                place.model, self._remote.feed_noise(place, job), inferences=1 + INFERENCES
            )
            _, *instructions = self._emulator.count([*place.argv, *counted], timeout_s=TIMEOUT_S)
            return Counted(engine=place.engine, cpu=self._emulator.cpu.name, instructions=tuple(instructions))

    def close(self) -> None:
        """Remove what was pushed."""
        self._emulator.close()
