"""Commands, by both versions of the shell protocol."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import threading
from typing import IO

from fakes.adb_daemon.device import Device
from fakes.adb_daemon.link import ClosedError, Stream

_STDOUT, _STDERR, _EXIT = 1, 2, 3


def run_raw(device: Device, command: str, stream: Stream) -> None:
    """Version 1: the output and nothing else."""
    with _started(device, command, stderr=subprocess.STDOUT) as process:
        _end_with_reader(stream, process)
        assert process.stdout
        while data := os.read(process.stdout.fileno(), 1 << 15):
            stream.write(data)


def run_framed(device: Device, command: str, stream: Stream) -> None:
    """Version 2: output, error output and exit code, each in packets of its own."""
    with _started(device, command, stderr=subprocess.PIPE) as process:
        _end_with_reader(stream, process)
        writing = threading.Lock()
        pumps = [
            threading.Thread(target=_pump, args=(pipe, kind, stream, writing), daemon=True)
            for pipe, kind in ((process.stdout, _STDOUT), (process.stderr, _STDERR))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        code = process.wait()
        stream.write(struct.pack("<BIB", _EXIT, 1, code if code >= 0 else 128 - code))


def _pump(pipe: IO[bytes], kind: int, stream: Stream, writing: threading.Lock) -> None:
    try:
        while data := os.read(pipe.fileno(), 1 << 15):
            with writing:
                stream.write(struct.pack("<BI", kind, len(data)) + data)
    except ClosedError:
        pass


def _started(device: Device, command: str, *, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", device.translate(command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=device.environment(),
        start_new_session=True,
    )


def _end_with_reader(stream: Stream, process: subprocess.Popen[bytes]) -> None:
    # As adbd does: the shell gets SIGHUP when the host has gone, and whatever it started lives on.
    def watch() -> None:
        try:
            while True:
                stream.read_some()
        except ClosedError:
            if process.poll() is None:
                process.send_signal(signal.SIGHUP)

    threading.Thread(target=watch, daemon=True).start()
