"""The timed target, registered here and in the processes that are started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TIMED_DISTRIBUTION = Path(__file__).parents[1] / "fakes" / "timed_target"


@pytest.fixture(autouse=True)
def _timed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TIMED_DISTRIBUTION)
    # An empty entry would stand for the working folder.
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TIMED_DISTRIBUTION), *inherited]))
