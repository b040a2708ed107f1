"""What the device ``arm64`` needs, fetched ahead of its first use, and how much of it is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.devices.arm64 import qemu
from mobilevit_deploy.devices.native import bundle
from mobilevit_deploy.devices.native.runtimes import RUNTIMES, Runtime
from mobilevit_deploy.devices.packages import cache
from mobilevit_deploy.errors import DeviceError


@dataclass(frozen=True)
class Piece:
    """A part of the device.

    Attributes:
        name: such as ``emulator``.
        what: it is, and where it comes from.
        folder: where it lies, or None if it is not there.
        missing: why it cannot be there; empty if it is or can be.
    """

    name: str
    what: str
    folder: Path | None
    missing: str = ""

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        files = self.folder.rglob("*") if self.folder else ()
        return sum(path.stat().st_size for path in files if path.is_file())


def status() -> tuple[Piece, ...]:
    """What is here and what is not; fetches nothing."""
    return (
        Piece("emulator", "QEMU's user mode, from Debian; an instruction counter", _there(qemu.entry_name())),
        *(_runner(runtime) for runtime in RUNTIMES),
    )


def setup(on_stage: Callable[[str], None] = lambda _: None) -> tuple[Piece, ...]:
    """Fetch and build what is not here; interrupted, the next call goes on after the last whole piece.

    Args:
        on_stage: told what is being fetched or built.

    Raises:
        DeviceError: this machine cannot emulate, or something cannot be fetched or compiled here.
    """
    qemu.qemu(on_stage)
    for piece in status():
        if piece.name != "emulator" and not piece.missing:
            bundle.bundle(piece.name, on_stage=on_stage)
    return status()


def _runner(runtime: Runtime) -> Piece:
    what = f"{runtime.wheel} for aarch64, from PyPI; its runner; the C library, from Debian"
    try:
        return Piece(runtime.name, what, _there(bundle.entry_name(runtime)))
    except DeviceError as error:
        return Piece(runtime.name, what, None, missing=f"{error.problem} {error.remedy}")


def _there(name: str) -> Path | None:
    folder = cache.root() / name
    return folder if folder.is_dir() else None
