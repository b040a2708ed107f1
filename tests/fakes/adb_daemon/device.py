"""The phone behind the daemon: its files, its programs, and its emulator for ARM code."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_PRIVATE = ("/data/local/tmp", "/sys/devices/system/cpu", "/sys/class/thermal", "/proc/cpuinfo")
"""Where a phone has what this machine has not, or has otherwise."""

_LOADER = re.compile(r"(?<![^\s;'])(\S*/ld-linux-aarch64\.so\.1)(?=\s+--library-path)")


class Device:
    """A phone whose files lie in ``root`` and whose programs are this machine's, save those it has itself.

    Args:
        root: a folder whose path a shell takes as it is.
        emulator: what ARM programs are started with, such as ``("qemu-aarch64", "-cpu", "cortex-a76")``.
    """

    def __init__(self, root: Path, *, emulator: Sequence[str] = ()) -> None:
        assert re.fullmatch(r"[\w/.-]+", str(root)), f"a shell would take {root} apart"
        self.root = root
        self._emulator = " ".join(emulator)
        for folder in ("bin", "data/local/tmp", "state"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def local(self, path: str) -> Path:
        """Where a path of the device lies here."""
        return Path(self._mapped(path))

    def write(self, path: str, text: str) -> None:
        """Put a file there, such as one of sysfs."""
        self.local(path).parent.mkdir(parents=True, exist_ok=True)
        self.local(path).write_text(text, encoding="utf-8")

    def program(self, name: str, script: str) -> None:
        """Let ``name`` be this shell script there."""
        file = self.root / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def answers(self, name: str, outputs: dict[str, str | Sequence[str]]) -> None:
        """Let ``name`` print ``outputs[argument]``; of several, the next one at each call, then the last."""
        for argument, output in outputs.items():
            folder = self.root / "state" / name / (argument or "_")
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            for index, text in enumerate([output] if isinstance(output, str) else output):
                (folder / str(index)).write_text(text, encoding="utf-8")
        self.program(
            name,
            f"cd '{self.root}/state/{name}'/\"${{1:-_}}\" 2>/dev/null || exit 1\n"
            "now=$(cat calls 2>/dev/null || echo 0)\n"
            'cat "$now"\n'
            "[ -e $((now + 1)) ] && echo $((now + 1)) >calls || true",
        )

    def translate(self, text: str) -> str:
        """A command of the device as one of this machine."""
        text = self._mapped(text)
        return _LOADER.sub(rf"{self._emulator} \1", text) if self._emulator else text

    def _mapped(self, text: str) -> str:
        for path in _PRIVATE:
            text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?![\w-])", f"{self.root}{path}", text)
        return text

    def environment(self) -> dict[str, str]:
        """What a command finds there."""
        return {**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
