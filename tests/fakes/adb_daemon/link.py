"""The transport protocol of adb (AOSP packages/modules/adb, ``protocol.txt``): packets and streams."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakes.adb_daemon.daemon import Daemon

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
TOKEN, SIGNATURE = 1, 2
"""What an AUTH packet may hold."""

VERSION = 0x01000001
"""The first version whose packets carry no checksums."""

MOST_BYTES = 256 * 1024


class ClosedError(Exception):
    """The other side has closed the stream or the link."""


class Stream:
    """One service that the host has opened."""

    def __init__(self, link: Link, number: int, peer: int) -> None:
        self.number = number
        self._link = link
        self._peer = peer
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._buffer = b""
        self._accepted = threading.Semaphore(0)
        self._closed = False

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        while len(self._buffer) < count:
            self._buffer += self.read_some()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def read_some(self) -> bytes:
        """One packet."""
        data = b"" if self._closed and self._arrived.empty() else self._arrived.get()
        if not data:
            raise ClosedError
        self._link.send(OKAY, self.number, self._peer)
        return data

    def write(self, data: bytes) -> None:
        """Send, and wait until the host has taken it."""
        for start in range(0, len(data), MOST_BYTES):
            self._link.send(WRTE, self.number, self._peer, data[start : start + MOST_BYTES])
            self._accepted.acquire()
            if self._closed:
                raise ClosedError

    def close(self) -> None:
        """Tell the host that this is all."""
        self._link.send(CLSE, self.number, self._peer)

    def deliver(self, data: bytes) -> None:
        """What the host has sent."""
        self._arrived.put(data)

    def accept(self) -> None:
        """The host has taken a packet."""
        self._accepted.release()

    def hang_up(self) -> None:
        """The host has closed it."""
        self._closed = True
        self._arrived.put(b"")
        self._accepted.release()


class Link(threading.Thread):
    """One connection of an adb server to the daemon."""

    def __init__(self, daemon: Daemon, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self._daemon = daemon
        self._connection = connection
        self._writing = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._numbers = itertools.count(1)

    def run(self) -> None:
        """Serve until the connection ends."""
        try:
            while True:
                kind, first, second, length, _, _ = struct.unpack("<6I", self._receive(24))
                self._handle(kind, first, second, self._receive(length))
        except (ClosedError, OSError):
            pass
        for stream in list(self._streams.values()):
            stream.hang_up()
        self._connection.close()

    def send(self, kind: int, first: int, second: int, data: bytes = b"") -> None:
        """Send one packet."""
        if kind == WRTE and self._daemon.faults.spend("drop_after_sent", len(data)):
            self.cut()
        packet = struct.pack("<6I", kind, first, second, len(data), 0, kind ^ 0xFFFFFFFF) + data
        try:
            with self._writing:
                self._connection.sendall(packet)
        except OSError as error:
            raise ClosedError from error

    def cut(self) -> None:
        """Pull the cable."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _handle(self, kind: int, first: int, second: int, data: bytes) -> None:
        faults, stream = self._daemon.faults, self._streams.get(second)
        if (kind == CNXN and faults.unauthorised) or (kind == AUTH and first == SIGNATURE):
            # No signature will do; the public key, which comes last, is shown to a user who is not there.
            self.send(AUTH, TOKEN, 0, os.urandom(20))
        elif kind == CNXN and not faults.silent:
            self.send(CNXN, VERSION, MOST_BYTES, self._daemon.banner)
        elif kind == OPEN:
            self._open(first, data.rstrip(b"\0").decode())
        elif kind == WRTE and stream:
            if faults.spend("drop_after_received", len(data)):
                raise ClosedError
            stream.deliver(data)
        elif kind == OKAY and stream:
            stream.accept()
        elif kind == CLSE and stream:
            self._streams.pop(second).hang_up()

    def _open(self, peer: int, service: str) -> None:
        serve = self._daemon.service(service)
        if serve is None:
            self.send(CLSE, 0, peer)
            return
        stream = Stream(self, next(self._numbers), peer)
        self._streams[stream.number] = stream
        self.send(OKAY, stream.number, peer)
        threading.Thread(target=self._serve, args=(serve, stream), daemon=True).start()

    def _serve(self, serve: Callable[[Stream], None], stream: Stream) -> None:
        try:
            serve(stream)
            if self._streams.pop(stream.number, None):
                stream.close()
        except ClosedError:
            pass

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._connection.recv(count - len(data))
            if not part:
                raise ClosedError
            data += part
        return data
