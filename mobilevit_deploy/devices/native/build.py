"""Compiling the runner, for any ABI on any machine: the compiler is one wheel, ``ziglang``.

It is clang with the headers and start files of every glibc, so that neither a cross compiler nor an NDK is
needed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mobilevit_deploy.devices.native.runtimes import Runtime
from mobilevit_deploy.devices.packages import cache, programs
from mobilevit_deploy.errors import DeviceError

SOURCE = Path(__file__).with_name("source")
_STANDINS = Path(__file__).with_name("standins")

# glibc 2.31 is older than that of any bundle, and than that of any machine this project's wheels run on.
_TRIPLES = {"arm64": "aarch64-linux-gnu.2.31", "x86_64": "x86_64-linux-gnu.2.31"}

_SHARED = ("main.c", "measure.c", "memory.c", "support.c")
_FLAGS = ("-std=gnu11", "-O2", "-s", "-Wall", "-Wextra", "-Werror")

# ExecuTorch's headers log through functions that its library does not export, and ask for a generated header.
_CXX_FLAGS = (
    *("-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"),
    *("-DET_LOG_ENABLED=0", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
)
_REMEDY = "Run: pip install 'mobilevit-deploy[devices]'."


def compile_runner(runtime: Runtime, abi: str, out: Path, *, linked: Sequence[Path] = ()) -> None:
    """Compile the runner for one runtime.

    Args:
        runtime: whose library it will load.
        abi: ``arm64`` or ``x86_64``.
        out: the program to write.
        linked: the libraries that it is linked to, if the runtime has headers.

    Raises:
        DeviceError: the compiler or the runtime is not installed, or it failed.
    """
    shared = [SOURCE / name for name in _SHARED]
    if not runtime.headers:
        compile_c([*shared, SOURCE / f"{runtime.name}.c"], abi, out, flags=("-ldl", "-lm"))
        return
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-runner-") as folder:
        engine = Path(folder) / f"{runtime.name}.o"
        headers = [flag for path in runtime.installed_headers() for flag in ("-isystem", str(path))]
        # Compiled apart: the language of a source is C's or C++'s, and so are its flags.
        source = SOURCE / f"{runtime.name}.cpp"
        _zig("c++", abi, engine, [*_CXX_FLAGS, *headers, "-c", source])
        flags = ("-Wl,--allow-shlib-undefined", "-ldl", "-lm")
        compile_c([*shared, engine, *linked], abi, out, flags=flags)


def compile_c(sources: Sequence[Path], abi: str, out: Path, *, flags: Sequence[str]) -> None:
    """Compile C sources to one program or, with ``-shared`` among ``flags``, to a library.

    Raises:
        DeviceError: the compiler is not installed or failed.
    """
    _zig("cc", abi, out, [*_FLAGS, *sources, *flags])


def _zig(language: str, abi: str, out: Path, arguments: Sequence[str | Path]) -> None:
    if not find_spec("ziglang"):
        raise DeviceError(f"{out.name} must be compiled, and ziglang is not installed.", remedy=_REMEDY)
    kept = str(cache.root() / "zig")
    programs.run(
        [sys.executable, "-m", "ziglang", language, "-target", _TRIPLES[abi], "-o", out, *arguments],
        doing=f"Compiling {out.name} for {abi}",
        remedy=_REMEDY,
        environment={**os.environ, "ZIG_GLOBAL_CACHE_DIR": kept, "ZIG_LOCAL_CACHE_DIR": kept},
    )


def source_digest() -> str:
    """SHA-256 over all that runners are made of, and over how they are compiled."""
    digest = hashlib.sha256(repr((_TRIPLES, _SHARED, _FLAGS, _CXX_FLAGS)).encode())
    for path in sorted([*SOURCE.glob("*.*"), *_STANDINS.glob("*.*")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
