"""The adb server: where it listens, starting it, and what is attached to it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import DeviceError, TargetError, first_line

if TYPE_CHECKING:
    from adbutils import AdbClient

DEFAULT_PORT = 5037
"""Where adb servers listen unless told otherwise."""

ANSWER_S = 10.0
"""The server is a program on this machine or one hop away: it answers at once or not at all."""

START_S = 30.0
"""A server that starts looks for USB devices first, which takes seconds on slow machines."""

INSTALL = "Run: pip install 'mobilevit-deploy[devices]'"

_LISTED = re.compile(r"(?P<serial>\S+)\s+(?P<state>\S.*?)(?P<tags>(?:\s+[a-z_]+:\S*)*)\s*")


@dataclass(frozen=True)
class Attached:
    """A line of ``adb devices -l``; ``state`` is ``device`` if it can be used, ``model`` empty if unknown."""

    serial: str
    state: str
    model: str


def address(environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Host and port of the adb server, by the variables that adb itself obeys.

    Raises:
        DeviceError: a variable names no TCP port.
    """
    if named := environment.get("ADB_SERVER_SOCKET"):
        found = re.fullmatch(r"tcp:(?:(?P<host>.+):)?(?P<port>\d+)", named)
        if found is None:
            raise DeviceError(
                f"ADB_SERVER_SOCKET is {named!r}, which is no TCP port.",
                remedy="Set it to tcp:PORT or tcp:HOST:PORT, or unset it.",
            )
        return found["host"] or "127.0.0.1", int(found["port"])
    port = environment.get("ANDROID_ADB_SERVER_PORT") or str(DEFAULT_PORT)
    if not port.isdecimal():
        raise DeviceError(
            f"ANDROID_ADB_SERVER_PORT is {port!r}, which is no port.",
            remedy=f"Set it to a number, or unset it for {DEFAULT_PORT}.",
        )
    return environment.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1", int(port)


@contextmanager
def client() -> Iterator[AdbClient]:
    """A client of the server, which is started if it does not run.

    Raises:
        DeviceError: there is no server, and none can be started.
        TargetError: adbutils is not installed.
    """
    host, port = address()
    try:
        import adbutils
    except ImportError as error:
        raise TargetError(
            "Phones are reached by adbutils, which is not installed.", remedy=INSTALL
        ) from error
    if not _listens(host, port):
        _start(host, port)
    try:
        yield adbutils.AdbClient(host=host, port=port, socket_timeout=ANSWER_S)
    except (adbutils.AdbError, OSError, ValueError) as error:
        raise DeviceError(
            f"The adb server at {host}:{port} does not answer as one: {first_line(error)}.",
            remedy="Run 'adb kill-server' and try again; see that no other program listens there.",
        ) from error


def connected() -> list[Attached]:
    """Everything that is attached to the adb server, usable or not, by serial.

    Raises:
        DeviceError: there is no server.
        TargetError: adbutils is not installed.
    """
    with client() as server, server.make_connection() as connection:
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


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S):
            return True
    except OSError:
        return False


def _start(host: str, port: int) -> None:
    from adbutils import AdbError, adb_path

    try:
        # The one on the path, else the one in adbutils' wheel. adb reads the same variables as we do.
        ended = subprocess.run(
            [adb_path(), "start-server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=START_S,
            check=False,
        )
        said = ended.stderr.decode(errors="replace").strip().splitlines() if ended.returncode else []
        why = said[-1] if said else ""
    except (AdbError, OSError, subprocess.SubprocessError) as error:
        why = first_line(error)
    if not _listens(host, port):
        raise DeviceError(
            f"No adb server listens at {host}:{port}, and none could be started{f' ({why})' if why else ''}.",
            remedy="Install adb (Debian: apt install adb), and see what 'adb start-server' says.",
        )
