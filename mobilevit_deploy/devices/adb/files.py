"""Files over adb: version 1 of its sync protocol, which every daemon speaks.

Described in AOSP's packages/modules/adb, ``SYNC.TXT``: four letters, a length, that many bytes. Sizes are
of 32 bits; more than 4 GiB of a model would not run on a phone either.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import BinaryIO

from mobilevit_deploy.devices.adb.wire import Wire

_CHUNK = 1 << 16
"""The protocol's greatest; daemons refuse longer ones."""


class RefusedError(Exception):
    """The daemon's own words why it did not read or write a file."""


def send(wire: Wire, source: BinaryIO, remote: str, mode: int) -> int:
    """Write ``source`` to ``remote`` with the permissions ``mode``; returns how many bytes were sent.

    Raises:
        RefusedError: the daemon could not write it.
    """
    # The daemon takes what stands after the last comma for the mode.
    _request(wire, b"SEND", f"{remote},{stat.S_IFREG | stat.S_IMODE(mode)}")
    sent = 0
    while chunk := source.read(_CHUNK):
        wire.renew()
        wire.write(b"DATA" + struct.pack("<I", len(chunk)) + chunk)
        sent += len(chunk)
    # A daemon that failed has been throwing the data away, and says so now. The number is the file's time.
    wire.write(b"DONE" + struct.pack("<I", int(os.fstat(source.fileno()).st_mtime) & 0xFFFFFFFF))
    _expect(wire, b"OKAY")
    wire.read_number()
    return sent


def receive(wire: Wire, remote: str) -> bytes:
    """The content of ``remote``.

    Raises:
        RefusedError: the daemon could not read it.
    """
    _request(wire, b"RECV", remote)
    parts = []
    while _expect(wire, b"DATA", b"DONE") == b"DATA":
        parts.append(wire.read(wire.read_number()))
        wire.renew()
    wire.read_number()
    return b"".join(parts)


def size(wire: Wire, remote: str) -> int | None:
    """Bytes of the file ``remote``; None if there is no such file."""
    _request(wire, b"STAT", remote)
    _expect(wire, b"STAT")
    mode, length, _ = struct.unpack("<3I", wire.read(12))
    return int(length) if mode else None


def sizes(wire: Wire, folder: str) -> dict[str, int]:
    """Names and bytes of the files in ``folder``; empty if there is no such folder."""
    _request(wire, b"LIST", folder)
    found = {}
    while _expect(wire, b"DENT", b"DONE") == b"DENT":
        mode, length, _, name_bytes = struct.unpack("<4I", wire.read(16))
        name = os.fsdecode(wire.read(name_bytes))
        wire.renew()
        if stat.S_ISREG(mode):
            found[name] = length
    return found


def _request(wire: Wire, kind: bytes, argument: str) -> None:
    data = os.fsencode(argument)
    wire.write(kind + struct.pack("<I", len(data)) + data)


def _expect(wire: Wire, *kinds: bytes) -> bytes:
    kind = wire.read(4)
    if kind == b"FAIL":
        raise RefusedError(wire.read(wire.read_number()).decode(errors="replace"))
    if kind not in kinds:
        raise EOFError(f"the daemon answered {kind!r}, not {b' or '.join(kinds)!r}")
    return kind
