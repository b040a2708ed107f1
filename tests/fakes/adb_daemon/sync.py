"""Files, by version 1 of the sync protocol and by the requests of version 2 that clients prefer."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from fakes.adb_daemon.device import Device
from fakes.adb_daemon.faults import Faults
from fakes.adb_daemon.link import Stream


def serve(device: Device, faults: Faults, stream: Stream) -> None:
    """Answer requests until the host says QUIT."""
    while True:
        kind, length = struct.unpack("<4sI", stream.read(8))
        path = device.local(os.fsdecode(stream.read(length)))
        if kind == b"QUIT":
            return
        if kind == b"STAT":
            stream.write(b"STAT" + _stat(path))
        elif kind in {b"STA2", b"LST2"}:
            stream.write(kind + _long_stat(path))
        elif kind == b"LIST":
            _list(path, stream)
        elif kind == b"RECV":
            _receive(path, stream)
        elif kind == b"SEND":
            name, _, mode = str(path).rpartition(",")
            _send(Path(name), int(mode), faults, stream)
        else:
            _fail(stream, f"unknown request {kind!r}")
            return


def _stat(path: Path) -> bytes:
    try:
        found = path.lstat()
    except OSError:
        return bytes(12)
    return struct.pack("<3I", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))


def _long_stat(path: Path) -> bytes:
    try:
        found = path.stat()
    except OSError as error:
        return struct.pack("<I", error.errno or 0) + bytes(64)
    return struct.pack(
        "<IQQIIIIQqqq", 0, 0, 0, found.st_mode, 1, 0, 0, found.st_size, 0, int(found.st_mtime), 0
    )


def _list(folder: Path, stream: Stream) -> None:
    for name in [".", "..", *sorted(path.name for path in folder.iterdir())] if folder.is_dir() else []:
        encoded = os.fsencode(name)
        stream.write(b"DENT" + _stat(folder / name) + struct.pack("<I", len(encoded)) + encoded)
    stream.write(b"DONE" + bytes(16))


def _receive(path: Path, stream: Stream) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        _fail(stream, f"open failed: {error.strerror}")
        return
    with file:
        while data := file.read(1 << 16):
            stream.write(b"DATA" + struct.pack("<I", len(data)) + data)
    stream.write(b"DONE" + bytes(4))


def _send(path: Path, mode: int, faults: Faults, stream: Stream) -> None:
    try:
        file = path.open("wb")
    except OSError as error:
        _discard(stream)
        _fail(stream, f"couldn't create file: {error.strerror}")
        return
    with file:
        full = _store(file, faults, stream)
    path.chmod(mode & 0o777)
    if full:
        path.unlink()
        _fail(stream, "write failed: No space left on device")
    else:
        stream.write(b"OKAY" + bytes(4))


def _store(file: BinaryIO, faults: Faults, stream: Stream) -> bool:
    # A real daemon goes on reading what it cannot write, until the host has sent it all.
    full = False
    while data := _data(stream):
        full = full or (faults.full_after is not None and file.tell() + len(data) > faults.full_after)
        if not full:
            file.write(data)
    return full


def _discard(stream: Stream) -> None:
    while _data(stream):
        pass


def _data(stream: Stream) -> bytes:
    kind, length = struct.unpack("<4sI", stream.read(8))
    return stream.read(length) if kind == b"DATA" else b""


def _fail(stream: Stream, message: str) -> None:
    stream.write(b"FAIL" + struct.pack("<I", len(message)) + message.encode())
