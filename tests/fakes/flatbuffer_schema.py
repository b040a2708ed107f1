"""Reads flatbuffers by the text of a published schema: what another program would find in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers.number_types as numbers
from flatbuffers.table import Table

_SCALARS = {
    "byte": numbers.Int8Flags,
    "ubyte": numbers.Uint8Flags,
    "int": numbers.Int32Flags,
    "uint": numbers.Uint32Flags,
    "float": numbers.Float32Flags,
}


@dataclass(frozen=True)
class Schema:
    """What a file ``.fbs`` declares: tables and unions by name, enums with the names of their values."""

    identifier: bytes
    root: str
    tables: dict[str, list[tuple[str, str]]]
    enums: dict[str, dict[int, str]]
    unions: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> Schema:
        text = re.sub(r"//.*", "", path.read_text())
        blocks = re.findall(r"(table|enum|union)\s+(\w+)[^{]*\{([^}]*)\}", text)
        named = {kind: {n: body for k, n, body in blocks if k == kind} for kind in ("table", "enum", "union")}
        return cls(
            identifier=_found(r'file_identifier "(\w+)"', text).encode(),
            root=_found(r"root_type (\w+)", text),
            tables={
                name: re.findall(r"(\w+)\s*:\s*([\w\[\]]+)", body) for name, body in named["table"].items()
            },
            enums={
                name: {int(value): key for key, value in re.findall(r"(\w+) = (\d+)", body)}
                for name, body in named["enum"].items()
            },
            unions={name: re.findall(r"\w+", body) for name, body in named["union"].items()},
        )

    def decode(self, content: bytes) -> dict[str, Any]:
        """Tables as dictionaries of the fields that are set; what the schema does not know is an error."""
        assert content[4:8] == self.identifier
        return self._table(content, int.from_bytes(content[:4], "little"), self.root)

    def _table(self, content: bytes, place: int, name: str) -> dict[str, Any]:
        table = Table(content, place)
        slots = [
            slot
            for field, kind in self.tables[name]
            for slot in (
                [(f"{field}_type", "ubyte"), (field, kind)] if kind in self.unions else [(field, kind)]
            )
        ]
        vtable = place - table.Get(numbers.SOffsetTFlags, place)
        assert (table.Get(numbers.VOffsetTFlags, vtable) - 4) // 2 <= len(slots), f"{name} has unknown fields"
        found: dict[str, Any] = {}
        for slot, (field, kind) in enumerate(slots):
            offset = table.Offset(4 + 2 * slot)
            if offset and kind in self.unions:
                member = self.unions[kind][found[f"{field}_type"] - 1]
                found |= {
                    f"{field}_type": member,
                    field: self._table(content, self._to(content, place + offset), member),
                }
            elif offset:
                found[field] = self._value(content, place + offset, kind)
        return found

    def _value(self, content: bytes, place: int, kind: str) -> Any:
        table = Table(content, place)
        if kind.startswith("["):
            element = kind.strip("[]")
            size = _SCALARS[element].bytewidth if element in _SCALARS else 4
            start = self._to(content, place)
            places = [start + 4 + size * i for i in range(table.Get(numbers.UOffsetTFlags, start))]
            return [self._value(content, each, element) for each in places]
        if kind == "string":
            return table.String(place).decode()
        if kind in self.enums:
            return self.enums[kind][table.Get(numbers.Int8Flags, place)]
        if kind in _SCALARS:
            return table.Get(_SCALARS[kind], place)
        return self._table(content, self._to(content, place), kind)

    @staticmethod
    def _to(content: bytes, place: int) -> int:
        """Where a reference leads."""
        return place + int(Table(content, place).Get(numbers.UOffsetTFlags, place))


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None
    return match[1]
