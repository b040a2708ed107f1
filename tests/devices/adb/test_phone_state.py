"""A phone's description and state, over adb: of a daemon on loopback, and of a real phone if one is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.bench import readiness
from mobilevit_deploy.devices import android
from mobilevit_deploy.devices.adb import AdbTransport
from mobilevit_deploy.errors import DeviceError

GOLDEN = Path(__file__).parents[2] / "golden" / "android"
SERIAL = os.environ.get("MOBILEVIT_DEPLOY_TEST_SERIAL")


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture
def pixel(phone: Any) -> Any:
    phone.device.answers("getprop", {"": golden("getprop_14")})
    phone.device.answers(
        "dumpsys",
        {
            "battery": golden("battery_14"),
            "thermalservice": [golden("thermal_15"), golden("thermal_10")],
            "power": golden("power_14"),
        },
    )
    phone.device.answers("settings", {"get": "null\n"})
    return phone


def test_a_phone_describes_itself(pixel: Any) -> None:
    assert android.machine(pixel.transport()).name == "Google Pixel 8"
    now = android.conditions(pixel.transport())
    assert (now.battery, now.thermal_status, now.screen_on, now.low_power_mode) == (1.0, 0, False, False)


def test_a_phone_that_begins_to_throttle_spoils_what_was_measured(pixel: Any) -> None:
    before, after = android.conditions(pixel.transport()), android.conditions(pixel.transport())
    assert "thermal status rose to 2" in (readiness.throttled(before, after) or "")


def test_a_phone_that_hangs_while_it_is_asked_is_told(pixel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pixel.device.program("dumpsys", "sleep 30")
    monkeypatch.setattr(android.probe, "TIMEOUT_S", 1.0)
    with pytest.raises(DeviceError, match="did not end within 1 s"):
        android.conditions(pixel.transport())


def test_programs_for_arm_are_started_by_the_emulator(connect: Callable[..., Any]) -> None:
    phone = connect(emulator=("/bin/echo", "emulating", "-cpu", "cortex-a76"))
    loader = f"{AdbTransport.folder}/bundle/ld-linux-aarch64.so.1"
    said = phone.transport().run(["env", "A=1", loader, "--library-path", "."], timeout_s=10).stdout
    assert said.split()[:3] == ["emulating", "-cpu", "cortex-a76"]
    assert said.endswith("bundle/ld-linux-aarch64.so.1 --library-path .\n")


@pytest.mark.phone
@pytest.mark.skipif(SERIAL is None, reason="MOBILEVIT_DEPLOY_TEST_SERIAL names no phone")
def test_a_real_phone_describes_itself() -> None:
    transport = AdbTransport(SERIAL)
    found, now = android.machine(transport), android.conditions(transport)
    assert found.name
    assert found.clusters
    assert found.cpu_features
    assert found.memory_bytes > 1e9
    assert now.battery is not None
    assert now.screen_on is not None
    assert now.low_power_mode is not None
    assert android.core_mask(found, "big")
