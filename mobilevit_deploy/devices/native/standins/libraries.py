"""Makes the libraries that stand in for PyTorch's, from the names that ExecuTorch's library asks for."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mobilevit_deploy.devices.native import build
from mobilevit_deploy.devices.native.standins.elf import read_symbols
from mobilevit_deploy.errors import DeviceError

_SOURCES = tuple(sorted(Path(__file__).parent.glob("*.c")))

_LOOPS = re.compile(
    r"pthreadpool_parallelize_(?P<dimensions>\d)d(?:_tile_(?P<tiled>\d)d)?(?:_dynamic)?"
    r"(?P<uarch>_with_uarch)?(?P<thread>_with_thread)?"
)
_SHARED = ("-shared", "-fPIC", "-Wl,-z,undefs")


def make_standins(library: Path, beside: Sequence[Path], abi: str, folder: Path) -> None:
    """Make every library that ``library`` asks for and that is not there, with every name that it lacks.

    Args:
        library: ExecuTorch's.
        beside: the libraries that are there, GNU's C++ library among them.
        abi: of all of them.
        folder: to write to.

    Raises:
        DeviceError: PyTorch, whose headers are needed, is not installed here, or the compiler failed.
    """
    symbols = read_symbols(library)
    there = {path.name for path in beside}
    first, *others = (name for name in symbols.libraries if name not in there)
    absent = symbols.wanted.difference(*(read_symbols(path).defined for path in beside))
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-standins-") as temporary:
        names = Path(temporary) / "names.c"
        names.write_text(_names(absent, symbols.called), encoding="utf-8")
        headers = [flag for path in (_pytorch_headers(), Path(__file__).parent) for flag in ("-I", str(path))]
        standard = next(path for path in beside if path.name.startswith("libstdc++.so"))
        build.compile_c([*_SOURCES, names, standard], abi, folder / first, flags=[*_SHARED, *headers])
        nothing = Path(temporary) / "nothing.c"
        nothing.write_text("typedef int nothing;\n", encoding="utf-8")
        for name in others:
            build.compile_c([nothing], abi, folder / name, flags=_SHARED)


def _names(absent: frozenset[str], called: frozenset[str]) -> str:
    sources = "".join(path.read_text(encoding="utf-8") for path in _SOURCES)
    written = set(re.findall(r"\w+(?=\()|cpuinfo_isa", sources))
    lines = ["#include <pthreadpool.h>", '#include "standins.h"']
    for name in sorted(absent - written):
        if loops := _LOOPS.fullmatch(name):
            lines.append(_in_one_thread(name, loops))
        else:
            lines.append(f"FUNCTION({name})" if name in called else f"OBJECT({name})")
    return "\n".join([*lines, ""])


def _in_one_thread(name: str, loops: re.Match[str]) -> str:
    """The loops of pthreadpool.h over a grid, whose last dimensions are tiled, as plain loops."""
    dimensions, tiled = int(loops["dimensions"]), int(loops["tiled"] or 0)
    tiles = [f"tile{index}" for index in range(dimensions - tiled, dimensions)]
    steps = ["1"] * (dimensions - tiled) + tiles
    # The header's own names of types: an index is an id, unless it is the thread's on a grid of fixed tiles.
    task = name.replace("parallelize", "task").replace("_with_uarch", "_with_id")
    task = task.replace("_dynamic_with_thread", "_dynamic_with_id")
    parameters = [
        "pthreadpool_t pool",
        f"{task}_t task",
        "void *context",
        *(["uint32_t uarch", "uint32_t most"] if loops["uarch"] else []),
        *(f"size_t range{index}" for index in range(dimensions)),
        *(f"size_t {tile}" for tile in tiles),
        "uint32_t flags",
    ]
    each = "".join(
        f" for (size_t i{index} = 0; i{index} < range{index}; i{index} += {step})"
        for index, step in enumerate(steps)
    )
    arguments = [
        "context",
        *(["uarch"] if loops["uarch"] else []),
        *(["0"] if loops["thread"] else []),
        *(f"i{index}" for index in range(dimensions)),
        *(
            f"range{index} - i{index} < tile{index} ? range{index} - i{index} : tile{index}"
            for index in range(dimensions - tiled, dimensions)
        ),
    ]
    unused = ["pool", "flags", *(["most"] if loops["uarch"] else [])]
    ignored = " ".join(f"(void){parameter};" for parameter in unused)
    return f"void {name}({', '.join(parameters)}) {{ {ignored}{each} task({', '.join(arguments)}); }}"


def _pytorch_headers() -> Path:
    try:
        return Path(str(distribution("torch").locate_file("torch/include")))
    except PackageNotFoundError as error:
        raise DeviceError(
            "ExecuTorch's runner needs PyTorch's headers, and torch is not installed.",
            remedy="Run: pip install 'mobilevit-deploy[executorch]'.",
        ) from error
