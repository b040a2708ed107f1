"""QEMU's user mode with a plugin that counts, in a folder of its own: nothing is installed in the system.

Debian 12's QEMU 7.2: its build is dynamic and so can load plugins. Newer ones in Debian are static, cannot,
and would be a second emulator to keep in step with the one that counts.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.devices.native import build
from mobilevit_deploy.devices.packages import cache, debian, programs
from mobilevit_deploy.errors import DeviceError

_PLUGIN = Path(__file__).with_name("icount.c")
_EMULATOR = "qemu-aarch64"
_LOADER = "ld-linux-x86-64.so.2"
_COUNTER = "icount.so"
_PACKAGE = "qemu-user"
_VERSION = "version"


@dataclass(frozen=True)
class Qemu:
    """An emulator that is ready; ``version`` is its package's."""

    folder: Path
    version: str

    @property
    def argv(self) -> list[str]:
        """The beginning of a command: the emulator on its own C library, which any x86-64 Linux runs."""
        here = str(self.folder)
        return [f"{here}/{_LOADER}", "--library-path", here, f"{here}/{_EMULATOR}"]

    def counting(self, file: str) -> list[str]:
        """Options that count instructions between marks into a file."""
        # QEMU separates a plugin's arguments by commas, and reads a doubled one as itself.
        plugin, out = (part.replace(",", ",,") for part in (str(self.folder / _COUNTER), file))
        return ["-plugin", f"{plugin},out={out}"]


def entry_name() -> str:
    """Name of the emulator in the cache."""
    return f"emulators/{_PACKAGE}-{debian.SUITE}-{hashlib.sha256(_PLUGIN.read_bytes()).hexdigest()[:16]}"


def qemu(on_stage: Callable[[str], None] = lambda _: None) -> Qemu:
    """The emulator, fetched and built if it is not in the cache.

    Raises:
        DeviceError: this machine is not Linux on x86-64, or something cannot be fetched or compiled here.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise DeviceError(
            f"The emulated device needs Linux on x86-64, not {platform.system()} on {platform.machine()}.",
            remedy="Use such a machine or container, or measure on a phone: 'adb:SERIAL'.",
        )
    folder = cache.entry(entry_name(), lambda making: _make(making, on_stage))
    return Qemu(folder, (folder / _VERSION).read_text(encoding="utf-8"))


def _make(folder: Path, on_stage: Callable[[str], None]) -> None:
    on_stage("Compiling the instruction counter")
    # The functions of QEMU that it calls are found as it is loaded.
    flags = ("-shared", "-fPIC", "-fvisibility=hidden", "-Wl,--allow-shlib-undefined", "-Wl,-z,undefs")
    build.compile_c([_PLUGIN], "x86_64", folder / _COUNTER, flags=flags)
    on_stage("Downloading QEMU and its libraries from Debian")
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-tree-") as tree:
        packages = debian.unpack([_PACKAGE], "amd64", Path(tree))
        for name in (_EMULATOR, _LOADER):
            shutil.copyfile(debian.find(Path(tree), name), folder / name)
            (folder / name).chmod(0o755)
        for library in _needed(Path(tree)):
            shutil.copyfile(library, folder / library.name)
    (folder / _VERSION).write_text(
        next(p for p in packages if p.startswith(f"{_PACKAGE}_")), encoding="utf-8"
    )


def _needed(tree: Path) -> list[Path]:
    # The loader itself tells which libraries the emulator needs; not all that its packages bring.
    folders = [tree / part / "x86_64-linux-gnu" for part in ("lib", "usr/lib")]
    listed = programs.run(
        [
            debian.find(tree, _LOADER),
            *("--library-path", ":".join(map(str, folders)), "--list"),
            debian.find(tree, _EMULATOR),
        ],
        doing="Listing the libraries of QEMU",
        remedy="Report this with the output of 'mobilevit-deploy doctor'.",
    )
    paths = [line.split(" => ")[1].rsplit(" (", 1)[0] for line in listed.splitlines() if " => " in line]
    return [Path(path) for path in paths if Path(path).name != _LOADER]
