"""Where the Core ML target can be used, and with what."""

from __future__ import annotations

import platform
import time

import pytest

from mobilevit_deploy.target import get_target


def on(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)


def test_a_mac_runs_packages_in_core_ml(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "Darwin")
    assert get_target("coreml").availability().engine == "coreml"


def test_linux_runs_packages_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "Linux")
    assert get_target("coreml").availability().engine == "mil-interpreter"


def test_windows_is_told_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "Windows")
    here = get_target("coreml").availability()
    assert not here.usable
    assert "Windows" in here.reason
    assert "WSL" in here.remedy


def test_availability_is_answered_at_once() -> None:
    target = get_target("coreml")
    start = time.perf_counter()
    target.availability()
    assert time.perf_counter() - start < 0.1
