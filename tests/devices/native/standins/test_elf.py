"""What a library asks for is read from the file itself, for any processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilevit_deploy.devices.native import build
from mobilevit_deploy.devices.native.standins.elf import Symbols, read_symbols

SOURCE = """
extern int object;
int called(void);
int passed_on(void);
int puts(const char *);
__attribute__((weak)) int optional(void);

int defined = 1;

int function(void) { return puts("") + called() + object + (optional ? optional() : 0); }
int (*pointer(void))(void) { return passed_on; }
"""


@pytest.fixture(params=["arm64", "x86_64"])
def symbols(request: pytest.FixtureRequest, tmp_path: Path) -> Symbols:
    pytest.importorskip("ziglang", reason="the compiler of the runner is not installed")
    (tmp_path / "source.c").write_text(SOURCE)
    library = tmp_path / "library.so"
    flags = ("-shared", "-fPIC", "-Wl,-z,undefs")
    build.compile_c([tmp_path / "source.c"], request.param, library, flags=flags)
    return read_symbols(library)


def test_what_it_defines(symbols: Symbols) -> None:
    assert {"defined", "function", "pointer"} <= symbols.defined


def test_what_others_must_define(symbols: Symbols) -> None:
    assert {"object", "called", "passed_on"} <= symbols.wanted
    assert "optional" not in symbols.wanted


def test_which_of_it_is_called(symbols: Symbols) -> None:
    assert "called" in symbols.called
    assert not {"object", "passed_on"} & symbols.called


def test_the_libraries_that_it_asks_for(symbols: Symbols) -> None:
    assert "libc.so.6" in symbols.libraries
