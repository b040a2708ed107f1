"""A real adb server of this test process's own, and daemons that are connected to it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes.adb_daemon import Daemon
from mobilevit_deploy.devices import adb

REDIRECTING = ("ANDROID_SERIAL", "ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS")
"""Variables that lead adb to another server or device."""


@contextmanager
def private_server(home: Path) -> Iterator[dict[str, str]]:
    """Run an adb server on a port that nobody else uses; yields the variables that let adb find it.

    It sees neither this machine's USB nor its emulators: whoever has a phone plugged in tests the same.
    """
    from adbutils import AdbClient, adb_path

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Its keys and its log go where the test's other files go.
    own = {"HOME": str(home), "TMPDIR": str(home), "ANDROID_USER_HOME": str(home)}
    alone = {"ADB_USB": "0", "ADB_EMU": "0", "ADB_MDNS": "0"}
    here = {"ANDROID_ADB_SERVER_PORT": str(port)}
    others = {name: value for name, value in os.environ.items() if name not in REDIRECTING}
    command = [adb_path(), "start-server"]
    subprocess.run(
        command, env={**others, **own, **alone, **here}, check=True, capture_output=True, timeout=60
    )
    try:
        yield here
    finally:
        AdbClient(port=port, socket_timeout=10).server_kill()


@contextmanager
def attached(daemon: Daemon, state: str = "device") -> Iterator[str]:
    """Connect the server to ``daemon``, wait until it has ``state``, and yield its serial."""
    from adbutils import AdbClient

    client = AdbClient(port=int(os.environ["ANDROID_ADB_SERVER_PORT"]), socket_timeout=30)
    with daemon, client.make_connection() as connection:
        # Not ``client.connect``, which waits ten seconds for one that does not let us in.
        connection.send_command(f"host:connect:{daemon.address}")
        wait_for_state(daemon.address, state)
        try:
            yield daemon.address
        finally:
            client.disconnect(daemon.address)


def wait_for_state(serial: str, state: str) -> None:
    """Wait until the server sees the device so."""
    until = time.monotonic() + 30
    while state not in {one.state for one in adb.connected() if one.serial == serial}:
        assert time.monotonic() < until, f"{serial} is not {state}: {adb.connected()}"
        time.sleep(0.02)
