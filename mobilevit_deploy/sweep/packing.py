"""An artifact, file or folder, as bytes that travel between machines."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def pack(path: Path) -> bytes:
    """The file or folder at ``path``, under its own name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(path, path.name)
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Write what ``pack`` took into ``folder``; whatever would lead out of it is refused."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
