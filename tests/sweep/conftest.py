"""The timed target, registered here and in the processes that are started, and artifacts of it to sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import on_path
from fakes.sweeps import write_made
from mobilevit_deploy.reference import Reference


@pytest.fixture(autouse=True)
def _timed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, Path(__file__).parents[1] / "fakes" / "timed_target")


@pytest.fixture
def made_already(reference: Reference, tmp_path: Path) -> Callable[..., Path]:
    """Write an artifact as a sweep of the bundled model would, at a side in pixels, into ``out``."""
    return lambda side, **changes: write_made(tmp_path / "out", reference.resized((side, side)), **changes)
