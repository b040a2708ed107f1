"""Which device is meant, where the adb server listens, and what is said when there is none."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.devices.adb import AdbTransport, Attached, attached, connected, server
from mobilevit_deploy.errors import DeviceError


def test_the_only_device_needs_no_name(phone: Any) -> None:
    assert AdbTransport().name == f"adb:{phone.serial}"


def test_attached_devices_are_listed_with_their_models(connect: Callable[..., Any]) -> None:
    models = ("Pixel_8", "SM_S911B")
    expected = [Attached(connect(model=model).serial, "device", model) for model in models]
    assert connected() == sorted(expected, key=lambda one: one.serial)


def test_of_two_devices_one_must_be_named(connect: Callable[..., Any]) -> None:
    first, second = sorted((connect(), connect()), key=lambda phone: phone.serial)
    with pytest.raises(DeviceError, match="2 devices are attached, and none is named") as unclear:
        AdbTransport()
    assert f"{first.serial} Fake_8 (device)" in unclear.value.problem
    assert second.serial in unclear.value.problem
    assert f"--device adb:{first.serial}" in unclear.value.remedy


def test_of_two_devices_the_environment_may_name_one(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    second = connect()
    monkeypatch.setenv("ANDROID_SERIAL", second.serial)
    assert AdbTransport().serial == second.serial


@pytest.mark.parametrize("serial", ["R58N123", "x; touch stolen", "$(touch stolen)", "a'b\"c", "::", "*"])
def test_a_serial_that_is_not_there_is_told_with_those_that_are(
    phone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serial: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeviceError, match="There is no device") as missing:
        AdbTransport(serial)
    assert repr(serial) in missing.value.problem
    assert phone.serial in missing.value.problem
    assert not (tmp_path / "stolen").exists()
    assert not phone.daemon.commands


def test_no_device_at_all_says_what_to_enable(adb_server: None) -> None:
    with pytest.raises(DeviceError, match="No device is attached") as none:
        AdbTransport()
    assert "USB debugging" in none.value.remedy


def test_a_server_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    adb = tmp_path / "adb"
    adb.write_text("#!/bin/sh\n[ $1 = version ] || { echo 'could not bind' >&2; exit 1; }\n")
    adb.chmod(adb.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(_free_port()))
    with pytest.raises(DeviceError, match=r"could be started \(could not bind\)") as none:
        connected()
    assert "adb start-server" in none.value.remedy


def test_something_else_on_the_port_is_no_adb_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(other.getsockname()[1]))
        with pytest.raises(DeviceError, match="does not answer as one"):
            connected()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "6000"}, ("127.0.0.1", 6000)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "lab", "ANDROID_ADB_SERVER_PORT": "6000"}, ("lab", 6000)),
        ({"ADB_SERVER_SOCKET": "tcp:6001", "ANDROID_ADB_SERVER_PORT": "6000"}, ("127.0.0.1", 6001)),
        ({"ADB_SERVER_SOCKET": "tcp:lab:6001"}, ("lab", 6001)),
    ],
)
def test_the_server_is_where_adb_itself_looks(variables: dict[str, str], expected: tuple[str, int]) -> None:
    assert server.address(variables) == expected


@pytest.mark.parametrize(
    "variables", [{"ANDROID_ADB_SERVER_PORT": "usb"}, {"ADB_SERVER_SOCKET": "localfilesystem:/run/adb"}]
)
def test_an_address_that_is_none_is_told_by_its_variable(variables: dict[str, str]) -> None:
    (name,) = variables
    with pytest.raises(DeviceError, match=name):
        server.address(variables)


# What 'adb devices -l' of platform-tools 34 prints.
LISTING = """\
R58N12ABCDE            device usb:1-2 product:dm1qxeea model:SM_S911B device:dm1q transport_id:3
emulator-5554          offline transport_id:1
0123456789ABCDEF       unauthorized usb:1-4 transport_id:5
9A081FFAZ0             no permissions (missing udev rules? user is in the plugdev group); see \
[http://developer.android.com/tools/device.html] usb:3-1 transport_id:7
192.168.1.20:5555      device product:oriole model:Pixel_6 device:oriole transport_id:9
"""


def test_every_state_is_read_from_a_listing() -> None:
    usb, emulator, unauthorised, forbidden, tcp = attached.parse_devices(LISTING)
    assert usb == Attached("R58N12ABCDE", "device", "SM_S911B")
    assert emulator == Attached("emulator-5554", "offline", "")
    assert unauthorised.state == "unauthorized"
    assert forbidden.serial == "9A081FFAZ0"
    assert "udev rules" in attached.unusable(forbidden).remedy
    assert tcp == Attached("192.168.1.20:5555", "device", "Pixel_6")


@pytest.mark.parametrize("state", ["recovery", "sideload", "bootloader", "rescue", "host", "anything"])
def test_a_device_that_runs_no_android_says_its_state(state: str) -> None:
    with pytest.raises(DeviceError, match=f"in state '{state}'"):
        attached.choose("x", [Attached("x", state, "")])


@given(st.text())
def test_no_listing_is_too_strange(listing: str) -> None:
    assert all(one.serial and one.state for one in attached.parse_devices(listing))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
