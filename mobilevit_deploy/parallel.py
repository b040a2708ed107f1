"""Run jobs side by side, each in a process of its own.

Converters leak memory, print to the terminal, change global state and sometimes crash with a signal; in a
process of its own none of this reaches the user or the job beside it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import DeployError, ExportError
from mobilevit_deploy.progress import name_of

_PATIENCE_S = 3.0
"""How long a process may take to clean up after SIGTERM before it is killed."""

_TICK_S = 0.5
"""How often a quiet wait looks up: an interruption that is no signal, such as Ray's, is heard only then."""

_LOG_TAIL = 12
"""Lines of a crashed process's own output that go into the error."""


@dataclass(frozen=True)
class Job:
    """``function(**arguments, on_stage=...)``, importable by name; ``key`` identifies it in events."""

    key: str
    function: Callable[..., Any]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a job: a result or an error, and how long each stage took, in seconds."""

    result: Any
    error: DeployError | None
    stages: dict[str, float]


OnEvent = Callable[[str, str], None]
"""Called with a job's key and its new stage: ``waiting``, a stage of its own, ``done`` or ``failed``."""


def run(jobs: Sequence[Job], *, on_event: OnEvent, workers: int | None = None) -> dict[str, Outcome]:
    """Run all jobs and return their outcomes by key; one that fails does not stop the others.

    Args:
        jobs: what to run, in the order in which to start.
        on_event: told what happens, in this process.
        workers: how many at a time; None is one a core.

    Raises:
        KeyboardInterrupt: after all processes are gone and their scratch files are removed.
    """
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    queue = list(jobs)
    running: dict[Connection, _Worker] = {}
    outcomes: dict[str, Outcome] = {}
    with _scratch() as scratch:
        try:
            while queue or running:
                while queue and len(running) < workers:
                    worker = _Worker(queue.pop(0), scratch)
                    running[worker.connection] = worker
                for connection in wait(list(running), _TICK_S):
                    worker = running[connection]  # type: ignore[index]
                    outcome = worker.receive(on_event)
                    if outcome is not None:
                        outcomes[worker.job.key] = outcome
                        on_event(worker.job.key, "failed" if outcome.error else "done")
                        del running[worker.connection]
        finally:
            for worker in running.values():
                worker.stop()
    return {job.key: outcomes[job.key] for job in jobs}


def run_one(job: Job, *, on_event: OnEvent) -> Any:
    """Run a single job and return its result.

    Raises:
        DeployError: what the job raised, or that its process died.
    """
    outcome = run([job], on_event=on_event)[job.key]
    if outcome.error:
        raise outcome.error
    return outcome.result


class _Worker:
    """One process and the pipe from it."""

    def __init__(self, job: Job, scratch: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.job = job
        self.connection, child = context.Pipe(duplex=False)
        self._log = Path(tempfile.mkdtemp(dir=scratch)) / "log"
        self._stages: dict[str, float] = {}
        self._stage = "start"
        self._since = time.monotonic()
        self._process: BaseProcess = context.Process(
            target=_child, args=(child, job, scratch, self._log), daemon=True
        )
        self._process.start()
        child.close()

    def receive(self, on_event: OnEvent) -> Outcome | None:
        """Take one message; an outcome ends the worker."""
        try:
            kind, value = self.connection.recv()
        except EOFError:
            self._process.join()
            kind, value = "error", self._crashed()
        self._clock(value if kind == "stage" else "")
        if kind == "stage":
            on_event(self.job.key, value)
            return None
        self._process.join()
        self.connection.close()
        return Outcome(
            result=value if kind == "result" else None,
            error=value if kind == "error" else None,
            stages=self._stages,
        )

    def stop(self) -> None:
        """End the process, gently first."""
        self._process.terminate()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()

    def _clock(self, stage: str) -> None:
        now = time.monotonic()
        # A stage can come more than once, and says on the way how far it is.
        self._stages[self._stage] = self._stages.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = name_of(stage), now

    def _crashed(self) -> ExportError:
        code = self._process.exitcode or 0
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"left with code {code}"
        tail = self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL:] if self._log.exists() else []
        said = " It last said:\n    " + "\n    ".join(tail) if tail else ""
        return ExportError(
            f"The process of {self.job.key} {how}, in stage '{self._stage}'.{said}",
            remedy="Run 'mobilevit-deploy doctor' to check versions; with SIGKILL, memory ran out.",
        )


def _child(connection: Connection, job: Job, scratch: Path, log: Path) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what ends, by SIGTERM, which unwinds
    # the stack so that staging folders are removed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What a killed converter leaves in its temporary folder goes with the scratch.
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    # Converters use one core, and a small model is no faster on more: threads that wait for each other on a
    # busy machine cost ten times the work. Read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    try:
        try:
            result = job.function(**job.arguments, on_stage=lambda stage: connection.send(("stage", stage)))
            connection.send(("result", result))
        except DeployError as error:
            connection.send(("error", error))
    finally:
        connection.close()
    # All is said, and scratch files are the parent's to remove. What a converter leaves behind would take
    # Python a second or more to free, object by object.
    os._exit(0)


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mobilevit-deploy-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
