"""The dynamic symbols of a shared library; the layout is that of elf(5), 64 bits, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_DYNAMIC = struct.Struct("<qQ")

_DYNAMIC_SECTION, _DYNAMIC_SYMBOLS = 6, 11
_NEEDED = 1
_GLOBAL = 1
_UNDEFINED = 0


@dataclass(frozen=True)
class Symbols:
    """What a library has and wants.

    Attributes:
        libraries: file names of the libraries that it asks for.
        defined: names that it defines.
        wanted: names that others must define; not the weak ones, which nobody has to.
        called: those of ``wanted`` that it calls as functions, through its procedure linkage table.
    """

    libraries: tuple[str, ...]
    defined: frozenset[str]
    wanted: frozenset[str]
    called: frozenset[str]


def read_symbols(path: Path) -> Symbols:
    """Read the dynamic symbols of a library."""
    content = path.read_bytes()
    sections = _sections(content)
    symbols = next(section for section in sections.values() if section.kind == _DYNAMIC_SYMBOLS)
    text = content[sections[symbols.link].begin : sections[symbols.link].end]
    entries = [
        (_name(text, name), info >> 4, place)
        for name, info, _, place, _, _ in _SYMBOL.iter_unpack(content[symbols.begin : symbols.end])
    ]
    wanted = {name for name, binding, place in entries if place == _UNDEFINED and binding == _GLOBAL}
    plt = next((section for section in sections.values() if section.name == ".rela.plt"), None)
    jumps = _RELOCATION.iter_unpack(content[plt.begin : plt.end]) if plt else ()
    return Symbols(
        libraries=tuple(_libraries(content, sections, text)),
        defined=frozenset(name for name, _, place in entries if place != _UNDEFINED),
        wanted=frozenset(wanted),
        called=frozenset(wanted & {entries[info >> 32][0] for _, info, _ in jumps}),
    )


@dataclass(frozen=True)
class _Section:
    name: str
    kind: int
    begin: int
    end: int
    link: int


def _sections(content: bytes) -> dict[int, _Section]:
    (table,) = struct.unpack_from("<Q", content, 0x28)
    _, count, names = struct.unpack_from("<HHH", content, 0x3A)
    headers = [_SECTION.unpack_from(content, table + index * _SECTION.size) for index in range(count)]
    texts = content[headers[names][4] :]
    return {
        index: _Section(_name(texts, name), kind, begin, begin + size, link)
        for index, (name, kind, _, _, begin, size, link, *_) in enumerate(headers)
    }


def _libraries(content: bytes, sections: dict[int, _Section], text: bytes) -> Iterator[str]:
    dynamic = next(section for section in sections.values() if section.kind == _DYNAMIC_SECTION)
    for tag, value in _DYNAMIC.iter_unpack(content[dynamic.begin : dynamic.end]):
        if tag == _NEEDED:
            yield _name(text, value)


def _name(text: bytes, begin: int) -> str:
    return text[begin : text.index(b"\0", begin)].decode()
