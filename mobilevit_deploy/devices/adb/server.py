"""The adb server: where it listens, and starting it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import DeviceError, first_line

if TYPE_CHECKING:
    from adbutils import AdbClient

DEFAULT_PORT = 5037
"""Where adb servers listen unless told otherwise."""

ANSWER_S = 10.0
"""The server is a program on this machine or one hop away: it answers at once or not at all."""

START_S = 30.0
"""A server that starts looks for USB devices first, which takes seconds on slow machines."""

INSTALL = "Run: pip install 'mobilevit-deploy[devices]'"


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
        DeviceError: there is no server and none can be started, or adbutils is not installed.
    """
    host, port = address()
    try:
        import adbutils
    except ImportError as error:
        raise DeviceError(
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
