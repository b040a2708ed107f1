"""What a .pte file says about itself: methods that take nothing and give a constant.

ExecuTorch's runners of language models read theirs the same way (``get_vocab_size``, ``get_eos_ids``).
Strings reach Python, C++, Kotlin and Swift alike.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mobilevit_deploy.description import CARD_KEY

if TYPE_CHECKING:
    from mobilevit_deploy.description import Card

LABELS = "get_labels"
"""Gives the names of the classes as a JSON array, in the order of the output.

As a string for each class, ImageNet's thousand would take 150 kB: a program keeps a value and a description
of its structure for each.
"""

PREPROCESSING = "get_preprocessing"
"""Gives the ``PreprocessSpec`` as JSON."""

TASK = "get_task"

_LABELS = TypeAdapter(tuple[str, ...])


def constant_methods(card: Card) -> dict[str, str]:
    """Names of the methods, with what they give; labels are in the file once."""
    return {
        TASK: str(card.task),
        LABELS: json.dumps(card.labels, ensure_ascii=False),
        PREPROCESSING: card.preprocessing.model_dump_json(),
        CARD_KEY: card.model_copy(update={"labels": ()}).model_dump_json(),
    }


def read_labels(strings: tuple[str, ...]) -> tuple[str, ...]:
    """What ``LABELS`` gave.

    Raises:
        ValueError: it is no JSON array of strings.
    """
    return _LABELS.validate_json("".join(strings), strict=True)
