"""Running the programs that fetch and build: with a time limit, and an error that says what failed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mobilevit_deploy.errors import DeviceError


def run(
    argv: Sequence[str | Path],
    *,
    doing: str,
    remedy: str,
    timeout_s: float = 600.0,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program to its end, and return what it printed.

    Args:
        argv: program and arguments.
        doing: completes "... failed", such as "compiling the runner".
        remedy: of the error.
        timeout_s: after which it is killed.
        environment: instead of this process's.
        folder: in which it runs.

    Raises:
        DeviceError: it is not installed, failed, or did not end in time.
    """
    try:
        ended = subprocess.run(
            [str(part) for part in argv],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            env=environment,
            cwd=folder,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeviceError(f"{doing} failed: {argv[0]} is not installed.", remedy=remedy) from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{doing} did not end within {timeout_s:g} s.", remedy=remedy) from error
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "it said nothing").splitlines()[-1].strip()
        raise DeviceError(f"{doing} failed: {said.removesuffix('.')}.", remedy=remedy)
    return ended.stdout
