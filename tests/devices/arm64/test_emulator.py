"""The emulated device as a transport: files, commands, limits."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.devices.arm64 import setup
from mobilevit_deploy.devices.arm64.emulator import Emulator
from mobilevit_deploy.devices.packages import cache
from mobilevit_deploy.devices.transport import Transport
from mobilevit_deploy.errors import DeviceError, UsageError


def test_it_is_a_transport(emulator: Emulator) -> None:
    transport: Transport = emulator
    assert transport.name == "arm64"
    assert emulator.version.startswith("qemu-user_")


@pytest.mark.parametrize("name", ["a b", "it's", "$(touch x); *", 'q"uote', "-rf", "n\new", "ü,x=1"])
def test_a_name_is_a_name(emulator: Emulator, tmp_path: Path, name: str) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"content")
    local.chmod(0o750)
    remote = f"{emulator.folder}/{name}/{name}"
    emulator.push(local, remote)
    assert emulator.pull(remote) == b"content"
    assert stat.S_IMODE(Path(remote).stat().st_mode) == 0o750
    assert emulator.sizes(f"{emulator.folder}/{name}") == {name: 7}
    emulator.remove(f"{emulator.folder}/{name}")
    emulator.remove(f"{emulator.folder}/{name}")
    assert emulator.sizes(f"{emulator.folder}/{name}") == {}


@pytest.mark.parametrize("remote", ["/etc/hostname", "../root/proc/cpuinfo", "..", "a/../../.."])
def test_the_hosts_own_files_are_out_of_reach(emulator: Emulator, remote: str) -> None:
    for act in (emulator.pull, emulator.remove, emulator.sizes):
        with pytest.raises(ValueError, match="lies outside"):
            act(remote)


def test_what_is_not_there_cannot_be_pulled(emulator: Emulator) -> None:
    with pytest.raises(DeviceError, match="nothing cannot be read"):
        emulator.pull("nothing")


def test_a_program_that_fails_gives_its_code_and_words(emulator: Emulator, pushed: Callable) -> None:
    ended = emulator.run([*pushed("litert"), "model"], timeout_s=60)
    assert ended.code == 1
    assert ended.stderr.startswith("run: expected: run LIBRARY MODEL")


def test_a_program_that_takes_too_long_is_killed(
    emulator: Emulator, pushed: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match=r"did not end on the emulated device within 0\.001 s"):
        emulator.run([*pushed("litert"), "model"], timeout_s=0.001)


def test_a_processor_that_computes_wrong_answers_is_not_offered() -> None:
    with pytest.raises(UsageError, match="'max' cannot be emulated"):
        Emulator("max")


def test_all_that_was_pushed_goes_with_it(tmp_path: Path) -> None:
    with Emulator() as emulator:
        (tmp_path / "file").touch()
        emulator.push(tmp_path / "file", f"{emulator.folder}/file")
        folder = Path(emulator.folder)
    assert not folder.parent.exists()


def test_status_tells_what_is_there_and_fetches_nothing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = {piece.name: piece for piece in setup.status()}
    assert there["emulator"].folder
    assert 10e6 < there["emulator"].bytes < 50e6
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path))
    assert [piece.folder for piece in setup.status()] == [None] * len(there)
    assert list(tmp_path.iterdir()) == []


def test_setup_done_twice_does_nothing_the_second_time(emulator: Emulator) -> None:
    stages: list[str] = []
    assert all(piece.folder for piece in setup.setup())
    setup.setup(stages.append)
    assert stages == []
