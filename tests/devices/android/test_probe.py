"""A phone, and a board without Android, described through one command each."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.adb_daemon import Device
from fakes.timed_artifacts import machine as some_machine
from mobilevit_deploy.bench.environment import Cluster
from mobilevit_deploy.devices import android
from mobilevit_deploy.devices.transport import Completed
from mobilevit_deploy.errors import UsageError

GOLDEN = Path(__file__).parents[2] / "golden" / "android"


@dataclass
class ShellTransport:
    """Runs a device's commands here, without adb in between."""

    device: Device
    commands: list[Sequence[str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        self.commands.append(argv)
        ended = subprocess.run(
            ["/bin/sh", "-c", self.device.translate(shlex.join(argv))],
            env=self.device.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture
def board(tmp_path: Path) -> ShellTransport:
    """ARM with plain Linux: sysfs and procfs, and nothing of Android."""
    device = Device(tmp_path / "device")
    device.write("/proc/cpuinfo", golden("cpuinfo"))
    cpu = "/sys/devices/system/cpu"
    device.write(f"{cpu}/present", "0-2\n")
    for core, (highest, related) in enumerate([("1704000", "0 1"), ("1704000", "0 1"), ("2914000", "2")]):
        folder = f"{cpu}/cpu{core}/cpufreq"
        device.write(f"{folder}/related_cpus", f"{related}\n")
        device.write(f"{folder}/cpuinfo_max_freq", f"{highest}\n")
        device.write(f"{folder}/scaling_cur_freq", f"{300000 + core * 1000}\n")
        device.write(f"{folder}/scaling_max_freq", f"{highest}\n")
        device.write(f"{folder}/scaling_governor", "schedutil\n")
        device.write(f"{folder}/scaling_driver", "cpufreq-dt\n")
        device.write(f"{folder}/stats/time_in_state", f"300000 {core}\n{highest} 5\n")
    device.write("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    device.write("/sys/class/thermal/thermal_zone0/temp", "48312\n")
    return ShellTransport(device)


@pytest.fixture
def phone(board: ShellTransport) -> ShellTransport:
    board.device.answers("getprop", {"": golden("getprop_14")})
    board.device.answers(
        "dumpsys",
        {
            "battery": golden("battery_14"),
            "thermalservice": [golden("thermal_15"), golden("thermal_10")],
            "power": "POWER MANAGER (dumpsys power)\n" + golden("power_10"),
        },
    )
    board.device.answers("settings", {"get": "1\n"})
    return board


def test_a_phone_is_described(phone: ShellTransport) -> None:
    found = android.machine(phone)
    assert (found.name, found.cpu) == ("Google Pixel 8", "Google Tensor G3")
    assert found.system.startswith("Android 14")
    assert found.architecture == "arm64-v8a"
    assert "asimddp" in found.cpu_features
    assert found.cores == 3
    assert found.usable_cores >= 1
    assert found.memory_bytes > 1e8
    assert found.clusters == (
        Cluster(kind="little", cores=(0, 1), max_mhz=1704),
        Cluster(kind="big", cores=(2,), max_mhz=2914),
    )


def test_its_conditions_are_described(phone: ShellTransport) -> None:
    now = android.conditions(phone)
    assert (now.power, now.battery, now.battery_c) == ("mains", 1.0, 31.2)
    assert now.thermal_status == 0
    assert now.temperatures_c["BIG"] == 38.0
    assert now.screen_on is True
    assert now.low_power_mode is True
    assert now.frequencies_mhz == (300.0, 301.0, 302.0)
    assert now.limits_mhz == (1704.0, 1704.0, 2914.0)
    assert now.governors == ("schedutil (cpufreq-dt)",)
    assert now.time_in_state_ms == {"cpu0": {300: 0, 1704: 50}, "cpu2": {300: 20, 2914: 50}}
    assert 0 <= now.busy <= 1
    assert now.memory_available_bytes > 0
    assert len(now.load_average) == 3


def test_thermal_status_that_rises_is_seen(phone: ShellTransport) -> None:
    assert [android.conditions(phone).thermal_status for _ in range(3)] == [0, 2, 2]


def test_a_description_is_one_round_trip(phone: ShellTransport) -> None:
    android.machine(phone)
    android.conditions(phone)
    assert len(phone.commands) == 2


def test_a_board_without_android_tells_what_it_can(board: ShellTransport) -> None:
    for name in ("getprop", "dumpsys", "settings"):
        board.device.program(name, "exit 127")
    found = android.machine(board)
    assert found.name == ""
    assert found.cores == 3
    assert found.virtual is None
    assert found.kernel
    now = android.conditions(board)
    assert now.temperatures_c == {"cpu-thermal": 48.312}
    assert [now.battery, now.battery_c, now.power, now.thermal_status, now.screen_on, now.low_power_mode] == (
        [None] * 6
    )


PHONE = some_machine(
    name="Google Pixel 8",
    cores=9,
    clusters=(
        Cluster(kind="little", cores=(0, 1, 2, 3), max_mhz=1704),
        Cluster(kind="mid", cores=(4, 5), max_mhz=2367),
        Cluster(kind="mid", cores=(6, 7), max_mhz=2400),
        Cluster(kind="big", cores=(8,), max_mhz=2914),
    ),
)


@pytest.mark.parametrize(
    ("text", "mask"),
    [("little", "f"), ("mid", "f0"), ("big", "100"), ("all", "1ff"), ("1F0", "1f0"), ("0x3", "3")],
)
def test_cores_are_chosen_by_kind_or_mask(text: str, mask: str) -> None:
    assert android.core_mask(PHONE, text) == mask


@pytest.mark.parametrize("text", ["0", "200", "ffff", "", "huge", "-1", "1_0", "0x", " 3", "big; reboot"])
def test_cores_that_are_not_there_are_told_with_those_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="none of the 9 cores of Google Pixel 8") as wrong:
        android.core_mask(PHONE, text)
    assert "mid (cores 4, 5, 6, 7)" in wrong.value.remedy
    assert "a mask up to 1ff" in wrong.value.remedy


def test_a_machine_that_hides_its_clocks_has_only_masks() -> None:
    with pytest.raises(UsageError, match="'big' means none of the 4 cores"):
        android.core_mask(some_machine(), "big")
    assert android.core_mask(some_machine(), "c") == "c"
