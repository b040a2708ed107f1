"""What is said about machines and states that spoil a measurement."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.timed_artifacts import conditions, machine, phone, phone_conditions
from mobilevit_deploy.bench import doubts


def test_an_idle_desktop_gives_no_warning() -> None:
    assert doubts.warnings(machine(), [conditions()], threads=1) == []


@pytest.mark.parametrize(
    ("where", "state", "threads", "said"),
    [
        ({}, {"busy": 0.63}, 1, "Other programs used up to 63%"),
        ({}, {"power": "battery"}, 1, "on battery"),
        ({}, {"governors": ("powersave (acpi-cpufreq)",)}, 1, "governor is powersave"),
        ({"virtual": True}, {}, 1, "virtual machine"),
        ({"usable_cores": 2}, {}, 2, "2 threads on 2 usable cores"),
        ({"usable_cores": 1}, {}, 1, "1 thread on 1 usable core:"),
    ],
)
def test_what_spoils_a_measurement_is_said_in_plain_words(
    where: dict[str, Any], state: dict[str, Any], threads: int, said: str
) -> None:
    (warning,) = doubts.warnings(machine(**where), [conditions(), conditions(**state)], threads=threads)
    assert said in warning


def test_the_ordinary_mode_of_a_pstate_driver_is_nothing_to_warn_of() -> None:
    states = [conditions(governors=("powersave (intel_pstate)",), power="mains")]
    assert doubts.warnings(machine(), states, threads=1) == []


def test_a_phone_that_lies_there_on_its_battery_gives_no_warning() -> None:
    assert doubts.warnings(phone(), [phone_conditions()], threads=1) == []


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"screen_on": True}, "screen is lit"),
        ({"power": "mains"}, "battery was being charged"),
        ({"low_power_mode": True}, "battery saver was on"),
        ({"thermal_status": 2}, "thermal status rose to 2"),
        ({"governors": ("powersave (cpufreq-dt)",)}, "governor is powersave (cpufreq-dt): clocks"),
        (
            {"limits_mhz": (1803.0,) * 4 + (2348.0,) * 2 + (2400.0,) * 2},
            "big cores could clock up to 2400",
        ),
    ],
)
def test_what_slows_a_phone_is_said_in_plain_words(state: dict[str, Any], said: str) -> None:
    states = [phone_conditions(), phone_conditions(**state)]
    (warning,) = doubts.warnings(phone(), states, threads=1)
    assert said in warning


@pytest.mark.parametrize(
    "unknown",
    [
        {"limits_mhz": ()},
        {"limits_mhz": (1000.0,)},  # of one core, nobody knows which
        {"battery": None, "power": "mains"},
        {"battery": 1.0, "power": "mains"},  # full: it is charged no more
        {"screen_on": None, "thermal_status": None, "low_power_mode": None},
    ],
)
def test_nobody_is_warned_of_what_is_not_known(unknown: dict[str, Any]) -> None:
    assert doubts.warnings(phone(), [phone_conditions(**unknown)], threads=1) == []
