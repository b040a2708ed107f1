"""A bundle holds all that a phone needs to run an artifact, and nothing of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from mobilevit_deploy.devices.native.bundle import Bundle, bundle
from mobilevit_deploy.devices.native.runtimes import RUNTIMES
from mobilevit_deploy.devices.packages import cache
from mobilevit_deploy.errors import DeviceError, UsageError

AARCH64 = 183
"""In an ELF header's e_machine, 18 bytes in."""


@pytest.fixture(params=[pytest.param(runtime.name, id=runtime.target) for runtime in RUNTIMES])
def made(request: pytest.FixtureRequest, or_skip: Callable) -> Bundle:
    return or_skip(lambda: bundle(request.param))  # type: ignore[no-any-return]


def test_every_file_is_a_program_or_library_for_arm(made: Bundle) -> None:
    for name in made.files:
        header = (made.folder / name).read_bytes()[:20]
        assert header[:4] == b"\x7fELF", name
        assert int.from_bytes(header[18:20], "little") == AARCH64, name


def test_a_command_starts_the_runner_by_the_bundles_own_loader(made: Bundle) -> None:
    loader, *options, runner, library = made.argv("/data/local/tmp/x")
    assert options == ["--library-path", "/data/local/tmp/x"]
    for path in (loader, runner, library):
        assert path.startswith("/data/local/tmp/x/")
        assert Path(path).name in made.files
    for path in (loader, runner):
        assert os.access(made.folder / Path(path).name, os.X_OK)


def test_the_runtime_is_the_one_that_is_installed_here(made: Bundle) -> None:
    assert made.version == version(made.runtime.wheel)
    assert made.engine == f"{made.runtime.name} {made.version}"


def test_it_is_made_once(made: Bundle) -> None:
    stages: list[str] = []
    assert bundle(made.runtime.name, on_stage=stages.append) == made
    assert stages == []


def test_what_cannot_be_bundled_is_said() -> None:
    with pytest.raises(UsageError, match="no runner for 'coreml'") as failure:
        bundle("coreml")
    assert "litert, onnxruntime" in failure.value.remedy
    with pytest.raises(UsageError, match="ABI 'armeabi-v7a'"):
        bundle("litert", "armeabi-v7a")


def test_an_index_without_the_wheel_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("ziglang", reason="the compiler of the runner is not installed")
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "cache"))
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path))):
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError, match=rf"ai-edge-litert {version('ai-edge-litert')} for aarch64 failed"):
        bundle("litert")
    assert list((tmp_path / "cache" / "runners").iterdir()) == []
