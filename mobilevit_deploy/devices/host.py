"""This machine: each measurement in a fresh interpreter, which inherits nobody's memory or threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from mobilevit_deploy.bench.measurement import Context, Timing, Untimed
from mobilevit_deploy.devices import host_process
from mobilevit_deploy.devices.runner import Job
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.target import get_target


class HostRunner:
    """Runs artifacts through their targets' sessions, here.

    Args:
        timeout_s: how long one process may take, importing the runtime included.
    """

    name = "host"
    context: Context = "host"

    def __init__(self, timeout_s: float = 600.0) -> None:
        self._timeout_s = timeout_s

    def measure(self, job: Job) -> Timing | Untimed:
        """See ``DeviceRunner.measure``. Ctrl-C ends the process before it is passed on."""
        here = get_target(job.manifest.target).availability()
        if not here.usable:
            return Untimed(status="not-timed", reason=f"{here.reason}. {here.remedy}")
        with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-") as folder:
            answer = Path(folder) / "answer.json"
            self._run(job, answer)
            return host_process.read_answer(answer)

    def _run(self, job: Job, answer: Path) -> None:
        what = f"{job.path.name} ({job.manifest.target})"
        try:
            # -P keeps the working folder, where anything may lie, out of the module path.
            ended = subprocess.run(
                [sys.executable, "-P", "-m", host_process.__name__, str(answer)],
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
