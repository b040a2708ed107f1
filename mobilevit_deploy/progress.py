"""Telling whoever waits how far a long piece of work has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

OnStage = Callable[[str], None]
"""Called with the name of each stage as it begins, and as it goes on with how far it is: ``evaluate (12 of
480)``."""

Item = TypeVar("Item")

_EVERY_S = 0.5


def counted(items: Sequence[Item], stage: str, on_stage: OnStage) -> Iterator[Item]:
    """Go through ``items``, telling about twice a second how many of them are done."""
    told = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - told > _EVERY_S:
            on_stage(f"{stage} ({number} of {len(items)})")
            told = time.monotonic()
        yield item


def name_of(stage: str) -> str:
    """The stage's name alone."""
    return stage.partition(" (")[0]
