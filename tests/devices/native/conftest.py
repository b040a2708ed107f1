"""The runner compiled for this machine, with the library of the wheel that is installed here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.devices.native import build
from mobilevit_deploy.devices.native.runtimes import get_runtime
from mobilevit_deploy.devices.transport import Completed

Runner = Callable[..., Completed]


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Run ``runner(runtime, arguments, library=...)`` here."""
    pytest.importorskip("ziglang", reason="the compiler of the runner is not installed")
    folder = tmp_path_factory.mktemp("runner")

    def run(runtime: str, arguments: list[str], library: str | None = None) -> Completed:
        program = folder / runtime
        if not program.exists():
            build.compile_runner(get_runtime(runtime), "x86_64", program)
        argv = [str(program), library or str(get_runtime(runtime).installed_library()), *arguments]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        return Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[Path, float], Path]:
    """The first share of a file's bytes."""

    def cut(path: Path, share: float) -> Path:
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: int(share * len(content))])
        return tmp_path / path.name

    return cut
