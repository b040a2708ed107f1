"""Reading a .tflite file: whatever is wrong with it is one error."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.errors import ArtifactError, first_line


def read_model(path: Path) -> tuple[bytes, Any]:
    """The file's bytes, and its model as the schema's ``ModelT``.

    Raises:
        ArtifactError: the file is truncated or damaged, or no .tflite file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.", remedy="Check the path.") from error
    with damage_refused(path):
        # The runtime's own check comes first: Python's reader believes every offset that it finds.
        Interpreter(model_content=content)
        return content, flatbuffer_utils.read_model_from_bytearray(bytearray(content))


@contextmanager
def damage_refused(path: Path) -> Iterator[None]:
    """Turn what readers raise over a damaged file into an ``ArtifactError``."""
    try:
        yield
    except (ValueError, RuntimeError, KeyError, IndexError, struct.error, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} is damaged, or no .tflite file: {first_line(error)}.", remedy="Export the model again."
        ) from error
