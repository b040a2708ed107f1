"""Commands over adb: version 2 of its shell protocol, and the first one, which knows no exit codes.

Both are described in AOSP's packages/modules/adb: ``shell_protocol.h`` and ``SERVICES.TXT``.
"""

from __future__ import annotations

import re
import shlex
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mobilevit_deploy.devices.adb.wire import Wire

_STDOUT, _STDERR, _EXIT = 1, 2, 3

_MOST_BYTES = 0xFFFF
"""A request's length is sent as four hexadecimal digits."""


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a command; the first protocol mixes stderr into stdout."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Dialect:
    """A version of the shell protocol: how a command is asked for, and how its answer is read.

    ``read`` calls its second argument with the process's id as soon as it is known.
    """

    request: Callable[[Sequence[str]], str]
    read: Callable[[Wire, Callable[[int], None]], Ended]


def dialect(features: Sequence[str]) -> Dialect:
    """The best one that a device with these features speaks."""
    if "shell_v2" in features:
        return Dialect(lambda argv: f"shell,v2,raw:{_fitting(f'echo $$ >&2; {_quoted(argv)}')}", _read_v2)
    # Nobody prints 32 random hexadecimal digits by chance, so a program's output cannot pass for the marker.
    mark = uuid.uuid4().hex
    tail = f"code=$?; echo; echo {mark} $code"
    return Dialect(
        lambda argv: f"shell:{_fitting(f'echo $$; {_quoted(argv)}; {tail}')}",
        lambda wire, started: _read_v1(wire, started, mark),
    )


def kill_script(process: int) -> Sequence[str]:
    """Kills a command's shell and what it started: adbd makes every shell the leader of a process group."""
    return ("sh", "-c", f"kill -s KILL -- -{process} 2>/dev/null || kill -s KILL {process}")


def _quoted(argv: Sequence[str]) -> str:
    if any("\0" in word for word in argv):
        raise ValueError("a word of a command cannot hold a zero byte")
    return f"{shlex.join(argv)} </dev/null"


def _fitting(script: str) -> str:
    if len(script.encode()) > _MOST_BYTES - len("shell,v2,raw:"):
        raise ValueError(f"a command of {len(script)} characters is too long for adb")
    return script


def _read_v2(wire: Wire, started: Callable[[int], None]) -> Ended:
    streams = {_STDOUT: bytearray(), _STDERR: bytearray()}
    known = False
    while True:
        kind, length = struct.unpack("<BI", wire.read(5))
        data = wire.read(length)
        if kind == _EXIT:
            break
        streams.setdefault(kind, bytearray()).extend(data)
        if not known and b"\n" in streams[_STDERR]:
            known = _tell(streams[_STDERR], started)
    # The first line is the process's id, which the script prints.
    errors = streams[_STDERR].partition(b"\n")[2] if known else streams[_STDERR]
    return Ended(data[0], _text(streams[_STDOUT]), _text(errors))


def _read_v1(wire: Wire, started: Callable[[int], None], mark: str) -> Ended:
    output, known = bytearray(), False
    while part := wire.read_some():
        output.extend(part)
        if not known and b"\n" in output:
            known = _tell(output, started)
    # Android up to 6 gives the command a terminal, which ends lines as terminals do.
    body = re.fullmatch(rf"\d+\n(.*)\n{mark} (\d+)\s*", _text(output).replace("\r\n", "\n"), re.DOTALL)
    if body is None:
        raise EOFError("the connection ended before the command did")
    return Ended(int(body[2]), body[1], "")


def _tell(output: bytearray, started: Callable[[int], None]) -> bool:
    first = output.split(b"\n", 1)[0].strip()
    if first.isdigit():
        started(int(first))
    return first.isdigit()


def _text(data: bytearray) -> str:
    return data.decode(errors="replace")
