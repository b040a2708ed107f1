"""Reports of made-up artifacts, and of the files behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.timed_artifacts import manifest_of, measurement, parity, phone, phone_conditions, timing
from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.measurement import Checked, Counted, Measurement, Untimed, Weighed
from mobilevit_deploy.parity.result import ParityResult, Verdict
from mobilevit_deploy.report.data import Report
from mobilevit_deploy.report.gather import compose

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
PHONE: dict[str, Any] = {"device": "adb:R58M", "context": "adb-shell", "cores": "big"}
EMULATOR: dict[str, Any] = {"device": "arm64", "context": "emulator"}
ON_ARM = "clock 1.0 on emulated cortex-a76"
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
def everywhere(tmp_path: Path) -> Report:
    """Two artifacts on this machine, a phone and emulated ARM; one of them is wrong on both of these."""
    right, wrong = (
        manifest_of(_file(tmp_path, name), parity(), target=name, bytes=size)
        for name, size in (("right", 2_000_000), ("wrong", 3_000_000))
    )
    measured = [each for manifest in (right, wrong) for each in _on_host(manifest)]
    measured += _on_phone(right)
    measured += [
        measurement(
            right, **EMULATOR, outcome=Checked(parity=_parity_by("clock 1.0 on emulated cortex-a76"))
        ),
        measurement(right, **EMULATOR, outcome=_counted(910_421_573)),
    ]
    measured += [
        measurement(wrong, **where, outcome=Checked(parity=_parity_by(engine, "fail")))
        for where, engine in ((PHONE, "clock 1.0"), (EMULATOR, ON_ARM))
    ]
    return compose({each.file: each for each in (right, wrong)}, measured, folder="exports", now=NOW)


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


def _on_host(manifest: Manifest) -> list[Measurement]:
    times = [
        measurement(
            manifest,
            round=n,
            started_at=NOW + timedelta(seconds=n),
            outcome=timing(samples_ms=(2.0, 2.1, 1.9), preprocess_ms=(3.0, 3.1)),
        )
        for n in (1, 2, 3)
    ]
    return [*times, measurement(manifest, outcome=_weighed(80_000_000, 120_000_000))]


def _on_phone(manifest: Manifest) -> list[Measurement]:
    """Four processes while the battery runs down, of which the last was throttled."""
    times = [
        measurement(
            manifest,
            **PHONE,
            round=n,
            started_at=NOW + timedelta(seconds=n),
            outcome=timing(
                samples_ms=(9.0, 9.2, 8.8),
                machine=phone(),
                before=phone_conditions(battery=0.9 - 0.1 * n, battery_c=27.0 + n),
                after=phone_conditions(
                    battery=0.85 - 0.1 * n,
                    battery_c=28.0 + n,
                    time_in_state_ms={"cpu0": {300: 1900, 1803: 1100}, "cpu6": {500: 1100, 2850: 1900}},
                ),
                invalid="The device throttled: its thermal status rose to 2." if n == 4 else "",
            ),
        )
        for n in (1, 2, 3, 4)
    ]
    return [
        measurement(manifest, **PHONE, outcome=Checked(parity=_parity_by("clock 1.0 for arm64"))),
        *times,
        measurement(manifest, **PHONE, outcome=_weighed(20_000_000, 45_000_000)),
    ]


def _parity_by(engine: str, verdict: Verdict = "pass") -> ParityResult:
    return parity(verdict, error=4e-6).model_copy(update={"engine": engine})


def _weighed(before: int, peak: int) -> Weighed:
    return Weighed(engine="clock 1.0", before_bytes=before, peak_bytes=peak, pss_bytes=None)


def _counted(instructions: int) -> Counted:
    return Counted(engine="clock 1.0", cpu="cortex-a76", instructions=(instructions,) * 3)


def _file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.timed"
    path.write_bytes(name.encode() * 1000)
    return path
