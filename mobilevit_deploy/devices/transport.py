"""How files and commands reach a device: what differs between a phone on a cable and emulated ARM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """A command that has ended on the device; its code is never hidden."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


class Transport(Protocol):
    """Files and commands on one device.

    Everything that goes over it is quoted by it: a name with spaces, quotes or semicolons is a name.
    Every method raises ``DeviceError`` where the device cannot be reached, denies access or is full, and
    ``DeviceLostError`` where it was there and went away.
    """

    @property
    def name(self) -> str:
        """What ``--device`` takes, such as ``adb:emulator-5554``."""

    @property
    def folder(self) -> str:
        """Where programs may be written and run, such as ``/data/local/tmp/mobilevit-deploy``."""

    def push(self, local: Path, remote: str) -> None:
        """Copy a file there whole or not at all, and keep its permissions; parent folders are made."""

    def pull(self, remote: str) -> bytes:
        """The content of a file there."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Names of the files in a folder there and their bytes; empty if there is no such folder."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a program there, which is killed after ``timeout_s``; a non-zero exit code is no error."""

    def remove(self, remote: str) -> None:
        """Remove a file or folder there, if it exists."""
