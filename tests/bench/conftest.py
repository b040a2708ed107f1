"""The timed target, registered here and in the processes that are started."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import on_path


@pytest.fixture(autouse=True)
def _timed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, Path(__file__).parents[1] / "fakes" / "timed_target")
