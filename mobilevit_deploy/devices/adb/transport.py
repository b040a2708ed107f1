"""``AdbTransport``: files and commands on a device that an adb server reaches."""

from __future__ import annotations

import posixpath
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mobilevit_deploy.devices.adb import attached, files, server, shell
from mobilevit_deploy.devices.adb.wire import Wire, opened
from mobilevit_deploy.devices.transport import Completed
from mobilevit_deploy.errors import DeviceError, DeviceLostError, first_line

if TYPE_CHECKING:
    from adbutils import AdbDevice

FOLDER = "/data/local/tmp/mobilevit-deploy"
"""The one place of a phone where adb's user may write *and* run programs."""

STALL_S = 30.0
"""A transfer on which nothing moved for so long has ended, whatever TCP still hopes for."""

HOUSEKEEPING_S = 30.0
"""mkdir, mv and rm take milliseconds; a flash that is busy trimming has been seen to take seconds."""


class AdbTransport:
    """See ``Transport``. Devices over USB and TCP and emulators differ in nothing but their serial.

    Args:
        serial: the device's, as ``adb devices`` prints it; None for ``$ANDROID_SERIAL`` or the only one.

    Raises:
        DeviceError: there is no server, no such device, or it cannot be used.
    """

    folder = FOLDER

    def __init__(self, serial: str | None = None) -> None:
        self.serial = attached.choose(serial, attached.connected())
        with server.client() as client:
            self._device: AdbDevice = client.device(self.serial)

    @property
    def name(self) -> str:
        """What ``--device`` takes."""
        return f"adb:{self.serial}"

    def push(self, local: Path, remote: str) -> None:
        """See ``Transport.push``. The file gets its name when all of it has arrived."""
        self._tidy("mkdir", "-p", "--", posixpath.dirname(remote))
        unfinished = f"{remote}.{uuid.uuid4().hex[:8]}.part"
        with local.open("rb") as source:
            try:
                self._send(source, local, unfinished)
                self._tidy("mv", "-f", "--", unfinished, remote)
            except (DeviceError, KeyboardInterrupt):
                # The cause is what the user wants to read, not that cleaning up behind it failed as well.
                with suppress(DeviceError):
                    self.remove(unfinished)
                raise

    def pull(self, remote: str) -> bytes:
        """See ``Transport.pull``."""
        with self._talking("sync:", STALL_S) as wire:
            expected = files.size(wire, remote)
            try:
                content = files.receive(wire, remote)
            except files.RefusedError as error:
                raise self._refused("reading", remote, str(error)) from error
        if len(content) != expected:
            raise self._lost(f"{len(content)} of {expected} bytes of {remote} arrived")
        return content

    def sizes(self, folder: str) -> dict[str, int]:
        """See ``Transport.sizes``."""
        with self._talking("sync:", STALL_S) as wire:
            return files.sizes(wire, folder)

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """See ``Transport.run``. Devices older than Android 7 mix the error output into the output."""
        started: list[int] = []
        speech = shell.dialect(self._features)
        try:
            with self._talking(speech.request(argv), timeout_s, passing=TimeoutError) as wire:
                ended = speech.read(wire, started.append)
        except TimeoutError as error:
            if not started:
                raise self._lost(f"'{argv[0]}' never began") from error
            self._kill(started[0])
            raise DeviceError(
                f"'{argv[0]}' did not end within {timeout_s:g} s on {self.name}, and was stopped.",
                remedy="Allow more time; if it hangs again, restart the device.",
            ) from error
        except KeyboardInterrupt:
            with suppress(DeviceError):
                for process in started:
                    self._kill(process)
            raise
        return Completed(tuple(argv), ended.code, ended.stdout, ended.stderr)

    def remove(self, remote: str) -> None:
        """See ``Transport.remove``."""
        self._tidy("rm", "-rf", "--", remote)

    @cached_property
    def _features(self) -> Sequence[str]:
        with self._loss_told(), self._device.open_transport("features", timeout=STALL_S) as connection:
            return tuple(connection.read_string_block().split(","))

    def _send(self, source: BinaryIO, local: Path, remote: str) -> None:
        with self._talking("sync:", STALL_S) as wire:
            try:
                sent = files.send(wire, source, remote, local.stat().st_mode)
            except files.RefusedError as error:
                raise self._refused("writing", remote, str(error)) from error
            arrived = files.size(wire, remote)
        if arrived != sent & 0xFFFFFFFF:
            raise self._lost(f"{arrived} of {sent} bytes of {local.name} arrived")

    def _tidy(self, *argv: str) -> None:
        ended = self.run(argv, timeout_s=HOUSEKEEPING_S)
        if ended.code:
            words = (ended.stderr or ended.stdout).strip() or f"exit code {ended.code}"
            raise self._refused(argv[0], argv[-1], words)

    def _kill(self, process: int) -> None:
        # A daemon hangs up on a shell whose reader has left, but not on what that shell has started.
        speech = shell.dialect(self._features)
        with self._talking(speech.request(shell.kill_script(process)), HOUSEKEEPING_S) as wire:
            speech.read(wire, lambda _: None)

    @contextmanager
    def _talking(
        self, service: str, limit_s: float, *, passing: type[OSError] | tuple[()] = ()
    ) -> Iterator[Wire]:
        with self._loss_told(passing), opened(self._device, service, limit_s=limit_s) as wire:
            yield wire

    @contextmanager
    def _loss_told(self, passing: type[OSError] | tuple[()] = ()) -> Iterator[None]:
        """Turn whatever ends a connection into a ``DeviceLostError``, except for ``passing``."""
        from adbutils import AdbError

        try:
            yield
        except passing:
            raise
        except (AdbError, EOFError, OSError, subprocess.SubprocessError) as error:
            raise self._lost(first_line(error)) from error

    def _lost(self, why: str) -> DeviceLostError:
        try:
            state = next((one.state for one in attached.connected() if one.serial == self.serial), "gone")
        except DeviceError:
            state = "unknown, for its adb server is gone"
        return DeviceLostError(
            f"The connection to {self.name} was lost ({why}); its state is now: {state}.",
            remedy="Check the cable, wait until 'adb devices' says 'device' again, and repeat the command.",
        )

    def _refused(self, doing: str, remote: str, words: str) -> DeviceError:
        if "No space left" in words:
            return DeviceError(
                f"{self.name} is full: {remote} could not be written.",
                remedy=f"Free space on it, for example with 'adb -s {self.serial} shell rm -r {FOLDER}'.",
            )
        if "No such file" in words and doing == "reading":
            return DeviceError(
                f"There is no file {remote} on {self.name}.", remedy="Run the command again to make it."
            )
        line = words.splitlines()[0].strip().rstrip(".")
        return DeviceError(
            f"{doing} {remote} failed on {self.name}: {line}.",
            remedy=f"Remove the folder with 'adb -s {self.serial} shell rm -r {FOLDER}', and try again.",
        )
