"""Reports of made-up artifacts, and of the files behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes.timed_artifacts import manifest_of, measurement, parity, timing
from mobilevit_deploy.bench.measurement import Untimed
from mobilevit_deploy.report.data import Report, compose

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
NASTY = "<b>&\"'`|$x_1$"
"""Would be markup in HTML, Markdown, a terminal or a plot."""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Three artifacts: one twice as fast as the other, and one that only an interpreter runs."""
    fast, slow, silent = (
        manifest_of(_file(tmp_path, name), parity(error=error), target=name)
        for name, error in (("fast", 2e-6), ("slow", 3e-6), ("silent", 0.0))
    )
    measured = [
        *(measurement(fast, round=n, outcome=timing(samples_ms=(2.0, 2.1, 1.9))) for n in (1, 2, 3)),
        *(measurement(slow, round=n, outcome=timing(samples_ms=(4.0, 4.2, 3.8))) for n in (1, 2, 3)),
        measurement(silent, outcome=Untimed(status="not-timed", reason="an interpreter is no runtime.")),
    ]
    return compose({each.file: each for each in (fast, slow, silent)}, measured, folder="exports", now=NOW)


@pytest.fixture
def nasty(tmp_path: Path) -> Report:
    """Names, labels and reasons that try to be markup; the artifact failed, and was measured anyway."""
    content: dict[str, Any] = {"labels": (NASTY, "b", "c"), "target": NASTY}
    outcome = parity("fail").model_copy(update={"engine": NASTY, "reasons": (NASTY,)})
    manifest = manifest_of(_file(tmp_path, "x"), outcome, **content)
    manifest = manifest.model_copy(update={"model": manifest.model.model_copy(update={"name": NASTY})})
    return compose(
        {f"{NASTY}.onnx": manifest}, [measurement(manifest)], folder=NASTY, now=NOW, remarks=[NASTY]
    )


@pytest.fixture
def unmeasured(tmp_path: Path) -> Report:
    """One artifact, of which nobody measured a thing."""
    manifest = manifest_of(_file(tmp_path, "a"), parity())
    return compose({"a.timed": manifest}, [], folder="exports", now=NOW)


def _file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.timed"
    path.write_bytes(name.encode() * 1000)
    return path
