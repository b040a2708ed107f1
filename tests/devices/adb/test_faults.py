"""What goes wrong between a phone and this machine, made to go wrong on demand."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fakes.adb_server import wait_for_state
from mobilevit_deploy.devices.adb import AdbTransport
from mobilevit_deploy.devices.adb import transport as transport_module
from mobilevit_deploy.errors import DeviceError, DeviceLostError

MODEL_BYTES = 600_000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(MODEL_BYTES))
    return path


def stored(phone: Any) -> list[str]:
    return [path.name for path in phone.device.local(AdbTransport.folder).rglob("*") if path.is_file()]


def test_a_cable_pulled_while_pushing_leaves_no_half_file(phone: Any, model: Path) -> None:
    transport = phone.transport()
    phone.daemon.faults.drop_after_received = MODEL_BYTES // 2
    with pytest.raises(DeviceLostError, match=r"connection to adb:127\S+ was lost") as lost:
        transport.push(model, f"{transport.folder}/model")
    assert "cable" in lost.value.remedy
    assert "model" not in stored(phone)


def test_after_a_pulled_cable_the_same_transport_goes_on(phone: Any, model: Path) -> None:
    transport = phone.transport()
    phone.daemon.faults.drop_after_received = MODEL_BYTES // 2
    with pytest.raises(DeviceLostError):
        transport.push(model, f"{transport.folder}/model")
    wait_for_state(phone.serial, "device")
    transport.push(model, f"{transport.folder}/model")
    assert transport.sizes(transport.folder)["model"] == MODEL_BYTES


def test_a_cable_pulled_while_pulling_gives_no_half_file(phone: Any, model: Path) -> None:
    transport = phone.transport()
    transport.push(model, f"{transport.folder}/model")
    phone.daemon.faults.drop_after_sent = MODEL_BYTES // 2
    with pytest.raises(DeviceLostError):
        transport.pull(f"{transport.folder}/model")


@pytest.mark.parametrize("features", [("shell_v2",), ()], ids=["today", "before Android 7"])
def test_output_that_is_cut_off_is_no_output(connect: Callable[..., Any], features: tuple[str, ...]) -> None:
    phone = connect(features=features)
    phone.daemon.faults.drop_after_sent = 50_000
    with pytest.raises(DeviceLostError):
        phone.transport().run(["sh", "-c", "yes '{\"samples_ms\": [1, 2]}' | head -c 500000"], timeout_s=20)


@pytest.mark.parametrize("features", [("shell_v2",), ()], ids=["today", "before Android 7"])
def test_a_command_that_hangs_is_stopped_with_all_it_started(
    connect: Callable[..., Any], features: tuple[str, ...]
) -> None:
    phone = connect(features=features)
    begin = time.monotonic()
    with pytest.raises(DeviceError, match=r"'sh' did not end within 1 s .* was stopped"):
        phone.transport().run(["sh", "-c", "sleep 86399 & sleep 86399"], timeout_s=1)
    assert time.monotonic() - begin < 10
    _wait_until(lambda: not _running("86399"))


def test_ctrl_c_stops_the_command_on_the_phone_as_well(phone: Any) -> None:
    transport = phone.transport()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        transport.run(["sh", "-c", "sleep 86397 & sleep 86397"], timeout_s=20)
    _wait_until(lambda: not _running("86397"))


def test_a_command_that_prints_without_end_is_stopped_as_well(phone: Any) -> None:
    with pytest.raises(DeviceError, match="did not end within 1 s"):
        phone.transport().run(["sh", "-c", "while :; do echo 86398; sleep 0.01; done"], timeout_s=1)
    _wait_until(lambda: not _running("86398"))


def test_a_command_whose_cable_is_pulled_is_lost(phone: Any) -> None:
    transport = phone.transport()
    threading.Timer(0.3, phone.daemon.pull_cable).start()
    with pytest.raises(DeviceLostError):
        transport.run(["sleep", "30"], timeout_s=20)


def test_a_wall_clock_that_jumps_neither_ends_nor_prolongs_a_command(
    phone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, real = phone.transport(), time.time
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * (-1) ** next(jumps))
    assert transport.run(["sh", "-c", "sleep 0.3; echo done"], timeout_s=5).stdout == "done\n"
    with pytest.raises(DeviceError, match="did not end"):
        transport.run(["sleep", "30"], timeout_s=0.5)


def test_a_full_device_says_so_and_keeps_what_it_had(phone: Any, model: Path, tmp_path: Path) -> None:
    transport, remote = phone.transport(), f"{AdbTransport.folder}/model"
    (tmp_path / "old").write_bytes(b"old")
    transport.push(tmp_path / "old", remote)
    phone.daemon.faults.full_after = MODEL_BYTES // 2
    with pytest.raises(DeviceError, match="is full") as full:
        transport.push(model, remote)
    assert "Free space" in full.value.remedy
    assert transport.pull(remote) == b"old"
    assert stored(phone) == ["model"]


def test_a_phone_that_hangs_is_offline(phone: Any) -> None:
    transport = phone.transport()
    phone.daemon.hang()
    wait_for_state(phone.serial, "offline")
    with pytest.raises(DeviceLostError, match="offline"):
        transport.run(["true"], timeout_s=5)
    with pytest.raises(DeviceError, match="is offline") as offline:
        AdbTransport(phone.serial)
    assert "adb reconnect" in offline.value.remedy


def test_a_phone_that_does_not_trust_this_machine_says_what_to_tap(connect: Callable[..., Any]) -> None:
    phone = connect("unauthorized", unauthorised=True)
    with pytest.raises(DeviceError, match="does not trust this computer") as refused:
        phone.transport()
    assert "Allow USB debugging" in refused.value.remedy


def test_a_connection_that_stalls_is_given_up(
    phone: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = phone.transport()
    transport.push(model, f"{transport.folder}/model")
    monkeypatch.setattr(transport_module, "STALL_S", 0.5)
    # A pipe that nobody writes to: opening it never ends.
    phone.device.local(f"{transport.folder}/model").unlink()
    transport.run(["mkfifo", f"{transport.folder}/model"], timeout_s=5)
    with pytest.raises(DeviceLostError):
        transport.pull(f"{transport.folder}/model")
    with phone.device.local(f"{transport.folder}/model").open("wb"):
        pass


def test_a_file_that_is_not_there_is_no_lost_device(phone: Any) -> None:
    with pytest.raises(DeviceError, match="There is no file") as missing:
        phone.transport().pull("/data/local/tmp/mobilevit-deploy/none")
    assert not isinstance(missing.value, DeviceLostError)


def test_a_folder_in_the_way_is_told_in_the_devices_words(phone: Any, model: Path) -> None:
    transport = phone.transport()
    transport.push(model, f"{transport.folder}/file")
    with pytest.raises(DeviceError, match=re.escape(f"{transport.folder}/file")):
        transport.push(model, f"{transport.folder}/file/below")


def test_several_phones_at_once_do_not_mix(connect: Callable[..., Any], tmp_path: Path) -> None:
    transports = [connect().transport() for _ in range(4)]

    def work(index: int) -> list[bytes]:
        own = tmp_path / f"own-{index}"
        own.write_bytes(str(index).encode() * 100_000)
        found = []
        for _ in range(5):
            transports[index].push(own, f"{AdbTransport.folder}/own")
            found.append(transports[index].pull(f"{AdbTransport.folder}/own")[:1])
            found.append(transports[index].run(["echo", str(index)], timeout_s=10).stdout.strip().encode())
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[str(index).encode()] * 10 for index in range(4)]


def _running(word: str) -> bool:
    return any(
        word in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )


def _wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)
