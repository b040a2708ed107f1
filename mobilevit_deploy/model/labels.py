"""Reads the names of the classes from a file that a person wrote or a data set came with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.fields import labels_by_id

_MOST_BYTES = 16_000_000
"""Far more than 100,000 names need; a weights file passed by mistake is not read to its end."""

_FORMS = 'Write one name a line, or JSON: ["cat", "dog"], {"0": "cat", "1": "dog"} or a config.json.'


def read_labels(path: str | Path, count: int | None = None) -> tuple[str, ...]:
    """Reads the names of a model's classes, in the order of its logits.

    A text file holds a name a line; empty lines at its end do not count. A JSON file (by its content) holds a
    list of names, a map from number to name, or an object with such a map under ``id2label``. Two classes may
    share a name: ImageNet's lists have two of "crane".

    Args:
        path: the file, in UTF-8.
        count: the number of classes that the model has; any unless given.

    Raises:
        CheckpointError: the file cannot be read, is in no such form, leaves a class without a name, or names
            another number of classes.
    """
    path = Path(path)
    text = _text(path)
    names = _json_names(path, text) if text.lstrip().startswith(("[", "{")) else _line_names(text)
    if not names:
        raise CheckpointError(f"'{path}' holds no labels.", remedy=_FORMS)
    if "" in names:
        raise CheckpointError(
            f"'{path}' has no name for class {names.index('')}.",
            remedy="Every class needs one: fill the gap.",
        )
    if count is not None and len(names) != count:
        raise CheckpointError(
            f"'{path}' names {len(names)} classes, and the model has {count}.",
            remedy="Pass the labels that the model was trained with, in the order of its logits.",
        )
    return tuple(names)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CheckpointError(
            f"The labels in '{path}' cannot be read: {error.strerror}.", remedy="Check the path."
        ) from error
    if len(content) > _MOST_BYTES:
        raise CheckpointError(f"'{path}' is too large for a list of labels.", remedy=_FORMS)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"'{path}' is no text in UTF-8 (byte {error.start}).", remedy="Save it as UTF-8 text."
        ) from error


def _line_names(text: str) -> list[str]:
    # Not splitlines(), which also splits at characters that may be part of a name.
    return [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []


def _json_names(path: Path, text: str) -> list[str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is no JSON: {error}.", remedy=_FORMS) from error
    if isinstance(content, Mapping):
        content = _by_number(path, content.get("id2label", content))
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"'{path}' holds no list of names.", remedy=_FORMS)
    return [name.strip() for name in content]


def _by_number(path: Path, content: Any) -> list[Any]:
    try:
        return list(labels_by_id("it", content).values())
    except ValueError as error:
        raise CheckpointError(f"'{path}' cannot be used: {error}", remedy=_FORMS) from error
