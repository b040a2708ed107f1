"""What is attached to the adb server, and which of it is meant."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from mobilevit_deploy.devices.adb import server
from mobilevit_deploy.errors import DeviceError

_LISTED = re.compile(r"(?P<serial>\S+)\s+(?P<state>\S.*?)(?P<tags>(?:\s+[a-z_]+:\S*)*)\s*")


@dataclass(frozen=True)
class Attached:
    """A line of ``adb devices -l``; ``state`` is ``device`` if it can be used, ``model`` empty if unknown."""

    serial: str
    state: str
    model: str


def connected() -> list[Attached]:
    """Everything that is attached to the adb server, usable or not, by serial.

    Raises:
        DeviceError: there is no server, or adbutils is not installed.
    """
    with server.client() as client, client.make_connection() as connection:
        connection.send_command("host:devices-l")
        connection.check_okay()
        return sorted(parse_devices(connection.read_string_block()), key=lambda one: one.serial)


def parse_devices(listing: str) -> list[Attached]:
    """What ``adb devices -l`` says, without its headline."""
    found = []
    for line in listing.splitlines():
        if matched := _LISTED.fullmatch(line.strip()):
            tags = dict(tag.split(":", 1) for tag in matched["tags"].split())
            found.append(Attached(matched["serial"], matched["state"], tags.get("model", "")))
    return found


def choose(serial: str | None, attached: list[Attached]) -> str:
    """The serial of the device that is meant: the named one, ``$ANDROID_SERIAL``, or the only one.

    Raises:
        DeviceError: it is not there or cannot be used, or several are and none is named.
    """
    serial = serial or os.environ.get("ANDROID_SERIAL") or None
    if serial is None and len(attached) != 1:
        raise _none_meant(attached)
    device = next((one for one in attached if serial in {None, one.serial}), None)
    if device is None:
        raise DeviceError(
            f"There is no device {serial!r}.{_listed(attached)}",
            remedy="Plug it in and enable USB debugging, or run 'adb connect' if it is on the network.",
        )
    if device.state != "device":
        raise unusable(device)
    return device.serial


def unusable(device: Attached) -> DeviceError:
    """Why a device that is attached cannot be used, and what to do."""
    state, _, _ = device.state.partition(" (")
    problem, remedy = {
        "unauthorized": (
            "does not trust this computer",
            "Unlock it and accept 'Allow USB debugging'; if it does not ask, unplug it and plug it in again.",
        ),
        "authorizing": ("is being asked to trust this computer", "Unlock it, accept, and try again."),
        "offline": (
            "is offline: adb sees it, but it does not answer",
            "Plug it in again, or run 'adb reconnect offline'; restart it if that does not help.",
        ),
        "no permissions": (
            "may not be opened by this user",
            "Install udev rules (Debian: android-sdk-platform-tools-common), and run 'adb kill-server'.",
        ),
    }.get(state, (f"is in state '{device.state}'", "Start Android on it, and see 'adb devices -l'."))
    return DeviceError(f"The device {device.serial} {problem}.", remedy=remedy)


def _none_meant(attached: list[Attached]) -> DeviceError:
    if not attached:
        return DeviceError(
            "No device is attached to the adb server.",
            remedy="Plug a phone in and enable USB debugging in its developer options; see 'adb devices'.",
        )
    return DeviceError(
        f"{len(attached)} devices are attached, and none is named.{_listed(attached)}",
        remedy=f"Name one, as in --device adb:{attached[0].serial}, or set ANDROID_SERIAL.",
    )


def _listed(attached: list[Attached]) -> str:
    if not attached:
        return " None is attached."
    devices = (" ".join(filter(None, (one.serial, one.model, f"({one.state})"))) for one in attached)
    return f" Attached: {', '.join(devices)}."
