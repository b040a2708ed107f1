"""Compiling the runner, for any ABI on any machine: the compiler is one wheel, ``ziglang``.

It is clang with the headers and start files of every glibc, so that neither a cross compiler nor an NDK is
needed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mobilevit_deploy.devices.native.runtimes import Runtime
from mobilevit_deploy.devices.packages import cache, programs
from mobilevit_deploy.errors import DeviceError

SOURCE = Path(__file__).with_name("source")

# glibc 2.31 is older than that of any bundle, and than that of any machine this project's wheels run on.
_TRIPLES = {"arm64": "aarch64-linux-gnu.2.31", "x86_64": "x86_64-linux-gnu.2.31"}

_SHARED = ("main.c", "measure.c", "memory.c", "support.c")
_FLAGS = ("-std=gnu11", "-O2", "-s", "-Wall", "-Wextra", "-Werror")
_REMEDY = "Run: pip install 'mobilevit-deploy[devices]'."


def compile_runner(runtime: Runtime, abi: str, out: Path) -> None:
    """Compile the runner for one runtime.

    Args:
        runtime: whose library it will load.
        abi: ``arm64`` or ``x86_64``.
        out: the program to write.

    Raises:
        DeviceError: the compiler is not installed or failed.
    """
    sources = [SOURCE / name for name in (*_SHARED, f"{runtime.name}.c")]
    compile_c(sources, abi, out, flags=("-ldl", "-lm"))


def compile_c(sources: Sequence[Path], abi: str, out: Path, *, flags: Sequence[str]) -> None:
    """Compile C sources to one program or, with ``-shared`` among ``flags``, to a library.

    Raises:
        DeviceError: as ``compile_runner``.
    """
    if not find_spec("ziglang"):
        raise DeviceError(f"{out.name} must be compiled, and ziglang is not installed.", remedy=_REMEDY)
    kept = str(cache.root() / "zig")
    programs.run(
        [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-target",
            _TRIPLES[abi],
            *_FLAGS,
            "-o",
            out,
            *sources,
            *flags,
        ],
        doing=f"Compiling {out.name} for {abi}",
        remedy=_REMEDY,
        environment={**os.environ, "ZIG_GLOBAL_CACHE_DIR": kept, "ZIG_LOCAL_CACHE_DIR": kept},
    )


def source_digest(folder: Path = SOURCE) -> str:
    """SHA-256 over all C sources in a folder, and over how they are compiled."""
    digest = hashlib.sha256(repr((_TRIPLES, _SHARED, _FLAGS)).encode())
    for path in sorted(folder.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
