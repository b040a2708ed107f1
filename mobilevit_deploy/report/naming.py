"""Names for the rows of a report: as short as tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.bench.matching import Identity
from mobilevit_deploy.bench.measurement import Context

if TYPE_CHECKING:
    from mobilevit_deploy.report.data import Row


CONTEXTS: dict[Context, str] = {
    "host": "host",
    "adb-shell": "adb shell",
    "app": "app",
    "emulator": "emulator",
}
"""What kind of process ran an artifact, in words."""


def where(device: str, context: Context) -> str:
    """A device and what kind of process ran there, such as ``adb:R58M (adb shell)``."""
    return device if device == context else f"{device} ({CONTEXTS[context]})"


def with_labels(rows: Sequence[Row]) -> list[Row]:
    """Name each row by its target and precision, and by whatever else tells artifacts and rows apart."""
    converters = {(row.manifest.target, row.manifest.converter) for row in rows}
    contested = {target for target, _ in converters if sum(name == target for name, _ in converters) > 1}
    names = _shortest(
        [f"{row.manifest.target} {row.manifest.precision}" for row in rows],
        [_of_artifact(row, contested) for row in rows],
    )
    full = _shortest(names, [_of_place(row) for row in rows])
    return [
        row.model_copy(update={"name": name, "label": label})
        for row, name, label in zip(rows, names, full, strict=True)
    ]


def labels(artifacts: Sequence[Identity]) -> list[str]:
    """Name artifacts of two runs in the same way."""
    return _shortest(
        [f"{artifact.target} {artifact.precision}" for artifact in artifacts],
        [
            (
                artifact.model,
                "{}x{}".format(*artifact.image_size),
                artifact.file,
                threads(artifact.threads),
                f"on {artifact.device}",
                f"in {artifact.context}",
            )
            for artifact in artifacts
        ],
    )


def _shortest(names: Sequence[str], parts: Sequence[tuple[str | None, ...]]) -> list[str]:
    """Each name, followed by those of its parts in which not all are alike."""
    telling = [len(set(column) - {None}) > 1 for column in zip(*parts, strict=True)]
    return [
        " ".join([name, *(part for part, tells in zip(own, telling, strict=True) if tells and part)])
        for name, own in zip(names, parts, strict=True)
    ]


def _of_artifact(row: Row, contested: set[str]) -> tuple[str | None, ...]:
    """What may tell artifacts apart; ``contested`` are targets whose files come from several converters."""
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
    )


def _of_place(row: Row) -> tuple[str | None, ...]:
    """What may tell rows of one artifact apart."""
    if row.timed is None:
        return None, None, f"on {' and '.join(row.untimed_on)}" if row.untimed_on else None
    return (
        threads(row.timed.threads),
        f"{row.timed.cores or 'all'} cores",
        f"on {where(row.timed.device, row.timed.context)}",
    )


def threads(count: int) -> str:
    """How many, in words."""
    return "1 thread" if count == 1 else f"{count} threads"
