"""``devices``: what can be measured on, in which state it is, and why not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.adb_daemon import Daemon, Device
from fakes.adb_server import REDIRECTING, attached, private_server

Cli = Callable[..., subprocess.CompletedProcess[str]]
GOLDEN = Path(__file__).parents[1] / "golden" / "android"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with private_server(tmp_path_factory.mktemp("adb")) as variables:
        yield variables


@pytest.fixture(autouse=True)
def _private(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in REDIRECTING:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOBILEVIT_DEPLOY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    phone = Device(tmp_path / "phone")
    phone.answers("getprop", {"": (GOLDEN / "getprop_14.txt").read_text(encoding="utf-8")})
    battery = (GOLDEN / "battery_14.txt").read_text(encoding="utf-8")
    phone.answers("dumpsys", {"battery": battery, "thermalservice": "Thermal Status: 0\n"})
    return Daemon(phone)


def test_this_machine_and_emulated_arm_are_always_listed(cli: Cli) -> None:
    done = cli("devices", "--json")
    assert done.returncode == 0, done.stderr
    host, arm64 = json.loads(done.stdout)["devices"]
    assert (host["name"], host["measures"]) == ("host", ["parity", "time", "memory"])
    assert host["machine"]["cores"] >= 1
    assert (arm64["name"], arm64["measures"]) == ("arm64", ["parity", "instructions"])
    assert "mobilevit-deploy devices setup arm64" in arm64["trouble"]


def test_a_phone_says_what_it_is_and_how_it_is(cli: Cli, daemon: Daemon) -> None:
    with attached(daemon) as serial:
        done = cli("devices")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert f"adb:{serial} Google Pixel 8" in told
    assert "Android 14" in told
    assert "arm64-v8a" in told
    assert "battery 100%" in told
    assert "thermal status 0 of 6" in told
    assert "runs tflite, onnx, executorch" in told


def test_a_phone_that_does_not_let_us_in_says_what_to_do(cli: Cli, daemon: Daemon) -> None:
    daemon.faults.unauthorised = True
    with attached(daemon, "unauthorized") as serial:
        done = cli("devices")
    assert done.returncode == 0, done.stderr
    assert f"adb:{serial}" in done.stdout
    assert "Allow USB debugging" in " ".join(done.stdout.split())


def test_only_emulated_arm_needs_setting_up(cli: Cli) -> None:
    done = cli("devices", "setup", "toaster")
    assert done.returncode == 2
    assert "'toaster' needs no setting up" in done.stderr
