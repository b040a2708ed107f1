"""Measurements on disk: JSON lines, each flushed as it is made.

Whatever interrupts a benchmark costs the measurement in flight and nothing else: a line that was cut short is
passed over by the reader, and removed by the next writer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from mobilevit_deploy.bench.measurement import FORMAT, SCHEMA_VERSION, Measurement
from mobilevit_deploy.errors import ArtifactError, OutputError
from mobilevit_deploy.output import visible

# Every line begins like this, which tells a measurement that was cut short from somebody else's text.
_OPENING = f'{{"format":"{FORMAT}"'.encode()


class Recorder:
    """Appends measurements to ``path``, which is created with its folder if need be.

    Raises:
        OutputError: the file cannot be written.
        ArtifactError: it exists and holds something else than measurements.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
            read_measurements(path)
            _remove_torn_line(path)
        except OSError as error:
            raise _unwritable(path, error) from error

    def append(self, measurement: Measurement) -> None:
        """Write one line, and return when it is on the disk.

        Raises:
            OutputError: the disk is full, or the file cannot be written any more.
        """
        try:
            # Devices are measured side by side, and each line is written whole.
            with self._lock, self._path.open("ab") as file:
                file.write(measurement.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self._path, error) from error


def read_measurements(path: Path) -> list[Measurement]:
    """Read the measurements in ``path``, in the order they were made; a last line cut short is passed over.

    Raises:
        ArtifactError: the file cannot be read, or holds something else than measurements, or newer ones.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read: {error.strerror}.", remedy="Pass a file that 'bench' wrote."
        ) from error
    return list(_parse(path, content))


def collect_measurements(path: Path) -> list[Measurement]:
    """Read the measurements in a file, or those in all files of a folder and its subfolders.

    Raises:
        ArtifactError: there are none, or a file of them cannot be read.
    """
    files = [path]
    if path.is_dir():
        files = [file for file in visible(path, "*.jsonl") if holds_measurements(file)]
    measured = [measurement for file in files for measurement in read_measurements(file)]
    if not measured:
        raise ArtifactError(
            f"There are no measurements in {path}.",
            remedy="Make some with 'mobilevit-deploy bench', which writes measurements.jsonl.",
        )
    return measured


def holds_measurements(path: Path) -> bool:
    """Whether ``path`` begins as a file of measurements does; others' JSON lines may lie beside it."""
    with path.open("rb") as file:
        return file.read(len(_OPENING)) == _OPENING


def _parse(path: Path, content: bytes) -> Iterator[Measurement]:
    lines = content.split(b"\n")
    torn = lines.pop()
    if torn and not _is_torn_measurement(torn):
        raise _foreign(path, len(lines) + 1)
    for number, line in enumerate(lines, start=1):
        yield _parse_line(path, number, line)


def _parse_line(path: Path, number: int, line: bytes) -> Measurement:
    if not line.startswith(_OPENING):
        raise _foreign(path, number)
    try:
        content = json.loads(line)
        if content.get("schema_version") == SCHEMA_VERSION:
            return Measurement.model_validate(content)
    except ValueError as error:
        raise ArtifactError(
            f"{path} is damaged in line {number}.", remedy="Remove that line, or measure again."
        ) from error
    raise ArtifactError(
        f"{path} has measurements of schema version {content.get('schema_version')} in line {number}; "
        f"this mobilevit-deploy reads version {SCHEMA_VERSION}.",
        remedy="Upgrade with 'pip install --upgrade mobilevit-deploy', or measure again.",
    )


def _is_torn_measurement(line: bytes) -> bool:
    return line.startswith(_OPENING) or _OPENING.startswith(line)


def _remove_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _foreign(path: Path, number: int) -> ArtifactError:
    return ArtifactError(
        f"{path} holds something else than measurements in line {number}.",
        remedy="Pass another file, such as one ending in .jsonl that does not exist yet.",
    )


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {error.strerror}.",
        remedy="Free space or rights there, or pass another file.",
    )
