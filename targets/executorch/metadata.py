"""What a .pte file says about itself: methods that take nothing and give a constant.

ExecuTorch's runners of language models read theirs the same way (``get_vocab_size``, ``get_eos_ids``).
Strings reach Python, C++, Kotlin and Swift alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mobilevit_deploy.description import CARD_KEY

if TYPE_CHECKING:
    from mobilevit_deploy.description import Card

LABELS = "get_labels"
"""Gives one string for each class, in the order of the output."""

PREPROCESSING = "get_preprocessing"
"""Gives the ``PreprocessSpec`` as JSON."""

TASK = "get_task"


def constant_methods(card: Card) -> dict[str, str | list[str]]:
    """Names of the methods, with what they give."""
    return {
        TASK: str(card.task),
        LABELS: list(card.labels),
        PREPROCESSING: card.preprocessing.model_dump_json(),
        CARD_KEY: card.model_dump_json(),
    }
