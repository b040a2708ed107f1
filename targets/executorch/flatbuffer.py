"""Tables of a flatbuffer by the numbers of their fields, without code generated from its schema.

A number is the field's position in its table of the schema, which never changes: old files stay readable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flatbuffers.number_types import Int32Flags, Uint8Flags, UOffsetTFlags
from flatbuffers.table import Table


class Fields:
    """A table of the flatbuffer, by the numbers of its fields; one that was not written is 0 or empty."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._table = Table(content, position)

    @classmethod
    def root(cls, content: bytes, start: int = 0) -> Fields:
        """The root table of the flatbuffer that begins at ``start``."""
        return cls(content, start + UOffsetTFlags.packer_type.unpack_from(content, start)[0])

    def integer(self, field: int, kind: Any = Int32Flags) -> int:
        """The number in ``field``."""
        return int(self._table.GetSlot(_slot(field), 0, kind))

    def string(self, field: int) -> str:
        """The text in ``field``."""
        offset = self._offset(field)
        return self._table.String(offset).decode() if offset else ""

    def integers(self, field: int, kind: Any = Int32Flags) -> list[int]:
        """The vector of numbers in ``field``."""
        return [int(self._table.Get(kind, place)) for place in self._places(field, kind.bytewidth)]

    def tables(self, field: int) -> Iterator[Fields]:
        """The vector of tables in ``field``."""
        for place in self._places(field, UOffsetTFlags.bytewidth):
            yield Fields(self._content, self._table.Indirect(place))

    def table(self, field: int) -> Fields | None:
        """The table in ``field``, if there is one."""
        offset = self._offset(field)
        return Fields(self._content, self._table.Indirect(offset)) if offset else None

    def span(self, field: int) -> tuple[int, int]:
        """Where a vector of bytes begins and ends in the file."""
        places = self._places(field, 1)
        return places.start, places.stop

    def union(self, field: int) -> tuple[int, Fields]:
        """The number of the member that is there, and its table; a union takes two fields."""
        return self.integer(field, Uint8Flags), Fields(
            self._content, self._table.Indirect(self._offset(field + 1))
        )

    def _places(self, field: int, width: int) -> range:
        offset = self._table.Offset(_slot(field))
        if not offset:
            return range(0)
        start = self._table.Vector(offset)
        return range(start, start + width * self._table.VectorLen(offset), width)

    def _offset(self, field: int) -> int:
        offset = self._table.Offset(_slot(field))
        return self._table.Pos + offset if offset else 0


def _slot(field: int) -> int:
    return 4 + 2 * field
