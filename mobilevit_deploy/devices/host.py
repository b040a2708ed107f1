"""This machine: each measurement in a fresh interpreter, which inherits nobody's memory or threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.measurement import Context, Counted, Quoted, Timing, Untimed, Weighed, Work
from mobilevit_deploy.devices import host_process
from mobilevit_deploy.devices.runner import Job
from mobilevit_deploy.errors import SessionError, UsageError
from mobilevit_deploy.target import get_target

if TYPE_CHECKING:
    from numpy.typing import NDArray


class HostRunner:
    """Runs artifacts through their targets' sessions, here.

    Args:
        timeout_s: how long one process may take, importing the runtime included.
    """

    name = "host"
    context: Context = "host"
    works: tuple[Work, ...] = ("time", "memory")
    tools: tuple[str, ...] = ()

    def __init__(self, timeout_s: float = 600.0) -> None:
        self._timeout_s = timeout_s

    def cannot_run(self, manifest: Manifest) -> str | None:
        """See ``DeviceRunner.cannot_run``."""
        here = get_target(manifest.target).availability()
        return None if here.usable else f"{here.reason}. {here.remedy}"

    def settle(self, on_wait: Callable[[str], None]) -> None:
        """Nothing is waited for: what keeps a computer busy is told in the report."""

    def proof_holds(self, manifest: Manifest) -> bool:
        """Whether the libraries that proved it are those that would run it now."""
        here = get_target(manifest.target)
        return all(manifest.libraries.get(name) == _version(name) for name in here.libraries)

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        """See ``DeviceRunner.outputs``."""
        with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-") as folder:
            place = Path(folder)
            host_process.write_arrays(place / host_process.INPUTS, [(pixels,) for pixels in inputs])
            self._run(job, place, "outputs")
            engine = host_process.read_engine(place)
            return engine, host_process.read_arrays(place / host_process.OUTPUTS)

    def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
        """See ``DeviceRunner.measure``. Ctrl-C ends the process before it is passed on."""
        _mask(job.cores)
        with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-") as folder:
            self._run(job, Path(folder), job.work)
            return host_process.read_outcome(Path(folder))

    def close(self) -> None:
        """Every process has ended with the call that started it."""

    def _run(self, job: Job, folder: Path, work: str) -> None:
        what = f"{job.path.name} ({job.manifest.target})"
        try:
            # -P keeps the working folder, where anything may lie, out of the module path.
            ended = subprocess.run(
                [sys.executable, "-P", "-m", host_process.__name__, work, str(folder)],
                input=job.model_dump_json().encode(),
                capture_output=True,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SessionError(
                f"{what} was not measured within {self._timeout_s:g} s, and its process was stopped.",
                remedy="Ask for fewer samples; if it hangs, check the file with 'mobilevit-deploy verify'.",
            ) from error
        if ended.returncode:
            raise SessionError(
                f"{what} {_ending(ended.returncode)} while it was measured.{_last_line(ended.stderr)}",
                remedy="Run 'mobilevit-deploy verify' on the file, and 'mobilevit-deploy doctor'.",
            )


def _mask(cores: str) -> None:
    """Check that ``cores`` is a mask: which of a computer's cores are big, it does not tell."""
    if cores and not host_process.cores_of(cores):
        raise UsageError(
            f"'{cores}' names no cores of this machine.",
            remedy="Give a hexadecimal mask, such as --cores 3 for cores 0 and 1; clusters are a phone's.",
        )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _ending(code: int) -> str:
    if code > 0:
        return f"ended its process with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    # Nobody else sends SIGKILL than a user, who knows, and a kernel out of memory.
    return f"had its process killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f" It said: {lines[-1].strip()}." if lines else ""
