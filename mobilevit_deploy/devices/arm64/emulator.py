"""The device ``arm64``: programs for ARM under QEMU, and the number of instructions they take.

It proves that an artifact computes the same on ARM's own kernels. Its clock and its memory are those of the
emulator and say nothing about any device; its instruction counts are exact, and are no latency either: they
know no caches, no pipeline and no second core.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mobilevit_deploy.devices.arm64 import cpus
from mobilevit_deploy.devices.arm64.qemu import Qemu, qemu
from mobilevit_deploy.devices.native import output
from mobilevit_deploy.devices.transport import Completed
from mobilevit_deploy.errors import DeviceError

_GUARD = ".arriving"


class Emulator:
    """A ``Transport`` to a folder of this machine, where programs are ARM's.

    Args:
        cpu: one of ``cpus``.

    Raises:
        UsageError: there is no such processor.
        DeviceError: the emulator cannot be had here; see ``arm64.qemu``.
    """

    name = "arm64"

    def __init__(self, cpu: str = cpus.DEFAULT) -> None:
        self.cpu = cpus.get_cpu(cpu)
        self._qemu: Qemu = qemu()
        self._private = tempfile.TemporaryDirectory(prefix="mobilevit-deploy-arm64-")
        private = Path(self._private.name)
        self._folder, self._root = private / "device", private / "root"
        self._folder.mkdir()
        (self._root / "proc").mkdir(parents=True)
        (self._root / "proc" / "cpuinfo").write_text(self.cpu.cpuinfo(), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove all that was pushed."""
        self._private.cleanup()

    @property
    def version(self) -> str:
        """The emulator's package and version."""
        return self._qemu.version

    @property
    def folder(self) -> str:
        """See ``Transport``."""
        return str(self._folder)

    def push(self, local: Path, remote: str) -> None:
        """See ``Transport``."""
        target = self._inside(remote)
        arriving = target.with_name(f"{target.name}{_GUARD}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(local, arriving)
            arriving.replace(target)
        except OSError as error:
            arriving.unlink(missing_ok=True)
            raise DeviceError(
                f"{local} cannot be copied to the emulated device: {error.strerror or error}.",
                remedy="Make room for temporary files, or set TMPDIR to a folder that has it.",
            ) from error

    def pull(self, remote: str) -> bytes:
        """See ``Transport``."""
        try:
            return self._inside(remote).read_bytes()
        except OSError as error:
            raise DeviceError(
                f"{remote} cannot be read from the emulated device: {error.strerror or error}.",
                remedy="See whether the program that should have written it failed.",
            ) from error

    def sizes(self, folder: str) -> dict[str, int]:
        """See ``Transport``."""
        inside = self._inside(folder)
        if not inside.is_dir():
            return {}
        return {path.name: path.stat().st_size for path in inside.iterdir() if path.is_file()}

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """See ``Transport``; ``argv[0]`` is a program for ARM.

        Raises:
            DeviceError: it did not end in time, and was killed.
        """
        return self._run(argv, (), timeout_s)

    def count(self, argv: Sequence[str], *, timeout_s: float) -> tuple[int, ...]:
        """Instructions of each inference of a runner in mode ``count``; see ``commands.count``.

        Raises:
            SessionError: the runner failed.
            DeviceError: it did not end in time, and was killed.
        """
        with tempfile.NamedTemporaryFile(mode="r", prefix="instructions-", dir=self._private.name) as marks:
            completed = self._run(argv, self._qemu.counting(marks.name), timeout_s)
            marked = output.read(completed, output.Counted).inferences
            counts = {int(tag): int(total) for tag, total in map(str.split, marks)}
        return tuple(counts[2 * index + 1] - counts[2 * index] for index in range(marked))

    def remove(self, remote: str) -> None:
        """See ``Transport``."""
        target = self._inside(remote)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def _run(self, argv: Sequence[str], options: Sequence[str], timeout_s: float) -> Completed:
        command = [*self._qemu.argv, "-cpu", self.cpu.name, "-L", str(self._root), *options, *argv]
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
                cwd=self._private.name,
                # The host's LD_LIBRARY_PATH and the like would reach the program.
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{Path(argv[0]).name} did not end on the emulated device within {timeout_s:g} s, "
                "and was killed.",
                remedy="Emulation is 20 to 100 times slower than a phone: use a small model and image size.",
            ) from error
        return Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)

    def _inside(self, remote: str) -> Path:
        # This device's paths are the host's: a wrong one must not reach the user's own files.
        path = (self._folder / remote).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise ValueError(f"{remote} lies outside of {self.folder}")
        return path
