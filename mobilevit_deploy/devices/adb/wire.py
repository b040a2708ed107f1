"""One connection to a device's daemon, through the adb server; nothing waits on it without a limit."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adbutils import AdbDevice

OPEN_S = 30.0
"""A device that is awake opens a service at once; one that is busy, or asleep, takes seconds."""

_BLOCK = 1 << 16


class Wire:
    """Bytes to and from a service of the daemon.

    Args:
        connection: that the service was opened on.
        limit_s: how long all of it may take. ``renew`` starts the time anew, for transfers that take as long
            as they take, but must go on.
    """

    def __init__(self, connection: socket.socket, limit_s: float) -> None:
        self._socket = connection
        self._limit_s = limit_s
        self.renew()

    def renew(self) -> None:
        """Start the time limit anew."""
        # Monotonic: neither this machine's wall clock nor the device's may jump into it.
        self._until = time.monotonic() + self._limit_s

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes.

        Raises:
            EOFError: the connection ended before.
            TimeoutError: they did not come in time.
        """
        parts, missing = [], count
        while missing:
            part = self.read_some(min(missing, _BLOCK))
            if not part:
                raise EOFError("the connection ended in the middle of an answer")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read_some(self, most: int = _BLOCK) -> bytes:
        """What has come, waiting for the first byte; empty if the connection has ended."""
        self._arm()
        return self._socket.recv(most)

    def write(self, data: bytes) -> None:
        """All of ``data``.

        Raises:
            TimeoutError: it was not taken in time.
        """
        self._arm()
        self._socket.sendall(data)

    def read_number(self) -> int:
        """A 32-bit number."""
        (number,) = struct.unpack("<I", self.read(4))
        return int(number)

    def _arm(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self._limit_s:g} s")
        self._socket.settimeout(left)


@contextmanager
def opened(device: AdbDevice, service: str, *, limit_s: float) -> Iterator[Wire]:
    """Open a service of the daemon, such as ``sync:``, and use it for ``limit_s`` seconds at most.

    Raises:
        adbutils.AdbError: the server or the device refuses.
    """
    connection = device.open_transport(timeout=OPEN_S)
    try:
        connection.send_command(service)
        connection.check_okay()
        yield Wire(connection.conn, limit_s)
    finally:
        # At once, not by ``connection.close``, which sleeps: a daemon ends a command whose reader is gone.
        connection.conn.close()
