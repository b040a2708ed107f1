"""Names for the rows of a report: as short as tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobilevit_deploy.report.data import Row


def with_labels(rows: Sequence[Row]) -> list[Row]:
    """Name each row by its target and precision, and by whatever else tells rows apart."""
    converters = {(row.manifest.target, row.manifest.converter) for row in rows}
    contested = {target for target, _ in converters if sum(name == target for name, _ in converters) > 1}
    parts = [_distinctions(row, contested) for row in rows]
    telling = [len(set(column) - {None}) > 1 for column in zip(*parts, strict=True)]
    return [
        row.model_copy(
            update={
                "label": " ".join(
                    [row.manifest.target, str(row.manifest.precision)]
                    + [part for part, tells in zip(own, telling, strict=True) if tells and part]
                )
            }
        )
        for row, own in zip(rows, parts, strict=True)
    ]


def _distinctions(row: Row, contested: set[str]) -> tuple[str | None, ...]:
    """What may tell a row from others; ``contested`` are targets whose files come from several converters."""
    height, width = row.image_size
    folder = Path(row.path).parent.as_posix()
    (given, *_), (wanted, *_) = row.manifest.inputs, row.manifest.outputs
    return (
        row.manifest.model.name,
        f"{height}x{width}",
        f"{given.name} in",
        f"{wanted.name} out",
        f"by {row.manifest.converter}" if row.manifest.target in contested else None,
        "" if folder == "." else f"in {folder}",
        _threads(row.timed.threads) if row.timed else None,
        f"on {row.timed.device}" if row.timed else None,
    )


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
