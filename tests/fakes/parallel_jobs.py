"""Jobs for tests/test_parallel.py: child processes import them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.output import staging

OnStage = Callable[[str], None]


def add(x: int, y: int, on_stage: OnStage) -> int:
    on_stage("adding")
    return x + y


def refuse(on_stage: OnStage) -> None:
    raise CheckpointError("It is broken.", remedy="Mend it.")


def shout(on_stage: OnStage) -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.system("echo from a child process")


def crash(on_stage: OnStage) -> None:
    on_stage("crashing")
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def divide(on_stage: OnStage) -> float:
    return 1 / 0


def linger(folder: str, on_stage: OnStage) -> None:
    with staging(Path(folder)) as stage:
        (stage / "half-written").write_text("half")
        on_stage("lingering")
        time.sleep(60)


def count(folder: str, on_stage: OnStage) -> int:
    mark = Path(folder) / str(os.getpid())
    mark.touch()
    running = len(list(Path(folder).iterdir()))
    time.sleep(0.5)
    mark.unlink()
    return running
