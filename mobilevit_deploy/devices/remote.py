"""A device that runs artifacts through the native runner: a phone over adb, or emulated ARM.

What is pushed is named after its content, and found there by the next benchmark; what belongs to one job lies
in a folder of its own, which is removed again.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.devices.native import commands, output
from mobilevit_deploy.devices.native.bundle import Bundle, bundle
from mobilevit_deploy.devices.native.runtimes import RUNTIMES, runtime_of
from mobilevit_deploy.devices.runner import Job, noise
from mobilevit_deploy.devices.transport import Transport
from mobilevit_deploy.errors import DeviceError, SessionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Manifest

OnStage = Callable[[str], None]


def no_runner(manifest: Manifest) -> str | None:
    """Why artifacts of this kind cannot run on such a device; None if they can."""
    if runtime_of(manifest.target):
        return None
    known = ", ".join(runtime.target for runtime in RUNTIMES)
    return f"There are runners for {known} files on devices, and none for {manifest.target}."


@dataclass(frozen=True)
class Place:
    """Where things lie on the device.

    Attributes:
        argv: the beginning of the runner's command.
        engine: name and version of the runtime that it loads.
        model: the artifact.
        folder: of this job alone.
    """

    argv: list[str]
    engine: str
    model: str
    folder: str


class Remote:
    """Puts artifacts and runners on a device, and runs jobs there.

    Args:
        transport: to the device.
        timeout_s: how long one process may take.
    """

    def __init__(self, transport: Transport, *, timeout_s: float) -> None:
        self._transport = transport
        self._timeout_s = timeout_s
        self._bundles: dict[str, tuple[Bundle, str]] = {}

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        """See ``DeviceRunner.outputs``: one process runs them all."""
        (wanted,) = job.artifact.outputs
        with self.place(job) as place:
            files = {
                self.feed(place, f"input-{index}", pixels): f"{place.folder}/output-{index}"
                for index, pixels in enumerate(inputs)
            }
            self.run(
                [*place.argv, *commands.outputs(place.model, files, threads=job.threads)], output.Outputs
            )
            return place.engine, [(_array(self._transport.pull(file), wanted),) for file in files.values()]

    def run(self, argv: Sequence[str], kind: type[output.Result]) -> output.Result:
        """Run the runner, and read its answer.

        Raises:
            SessionError: it failed, or its answer cannot be read.
            DeviceError: the device cannot be used.
        """
        return output.read(self._transport.run(argv, timeout_s=self._timeout_s), kind)

    @contextmanager
    def place(self, job: Job) -> Iterator[Place]:
        """Everything that a job needs, on the device; its own folder is removed again.

        Raises:
            SessionError: the runtime cannot have so many threads there.
        """
        runner, where = self._runner(job)
        folder = f"{self._transport.folder}/jobs/{uuid.uuid4().hex[:12]}"
        model = self._artifact(job)
        try:
            yield Place(runner.argv(where), runner.engine, model, folder)
        finally:
            with suppress(DeviceError):  # what ended the job is what the user wants to read
                self._transport.remove(folder)

    @contextmanager
    def lent(self, job: Job, program: Path) -> Iterator[tuple[str, str]]:
        """Another program and the artifact, under the names they have here, which tools may go by."""
        folder = f"{self._transport.folder}/jobs/{uuid.uuid4().hex[:12]}"
        try:
            for file in (program, job.path):
                self._transport.push(file, f"{folder}/{file.name}")
            self._transport.run(["chmod", "755", f"{folder}/{program.name}"], timeout_s=self._timeout_s)
            yield f"{folder}/{program.name}", f"{folder}/{job.path.name}"
        finally:
            with suppress(DeviceError):
                self._transport.remove(folder)

    def feed(self, place: Place, name: str, pixels: NDArray[Any]) -> str:
        """Push an input; returns its path on the device."""
        import numpy as np

        with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-") as here:
            file = Path(here) / name
            file.write_bytes(np.ascontiguousarray(pixels).tobytes())
            self._transport.push(file, f"{place.folder}/{name}")
        return f"{place.folder}/{name}"

    def feed_noise(self, place: Place, job: Job) -> str:
        """Push the input that artifacts are timed on."""
        (pixels,) = noise(job.artifact)
        return self.feed(place, "noise", pixels)

    def _runner(self, job: Job) -> tuple[Bundle, str]:
        runtime = runtime_of(job.manifest.target)
        assert runtime, "cannot_run said so before"
        if runtime.headers and job.threads > 1:
            raise SessionError(
                f"The runner of {runtime.name} has 1 thread, and {job.threads} were asked for.",
                remedy="Use '--threads 1', or time the file with '--tool executor_runner'.",
            )
        name = runtime.name
        if name not in self._bundles:
            made = bundle(name)
            where = f"{self._transport.folder}/runners/{made.digest[:16]}"
            there = self._transport.sizes(where)
            for file in made.files:
                if there.get(file) != (made.folder / file).stat().st_size:
                    self._transport.push(made.folder / file, f"{where}/{file}")
            self._bundles[name] = made, where
        return self._bundles[name]

    def _artifact(self, job: Job) -> str:
        folder = f"{self._transport.folder}/artifacts"
        name = job.manifest.sha256
        if self._transport.sizes(folder).get(name) != job.manifest.bytes:
            self._transport.push(job.path, f"{folder}/{name}")
        return f"{folder}/{name}"


def _array(content: bytes, spec: TensorSpec) -> NDArray[Any]:
    import numpy as np

    array = np.frombuffer(content, spec.dtype)
    if array.size != np.prod(spec.shape):
        raise SessionError(
            f"The output '{spec.name}' has {len(content)} bytes on the device, "
            f"and was said to be {spec.dtype}{list(spec.shape)}.",
            remedy="Export the model again, and keep the file and its manifest together.",
        )
    return array.reshape(spec.shape)
