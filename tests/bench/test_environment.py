"""The machine as it is here, and what is said about machines that spoil a measurement."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
import pytest

from fakes.timed_artifacts import conditions, machine
from mobilevit_deploy.bench import environment


def test_this_machine_is_described() -> None:
    here = environment.machine(["numpy", "no-such-distribution"])
    assert here.cores >= here.usable_cores >= 1
    assert here.kernel == platform.release()
    assert here.cpu
    assert here.memory_bytes > 1e8
    assert here.libraries == {"numpy": np.__version__}


def test_its_conditions_are_described() -> None:
    now = environment.conditions()
    assert 0 <= now.busy <= 1
    assert 0 < now.memory_available_bytes < environment.machine().memory_bytes
    assert len(now.load_average) == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS has no affinity")
def test_cores_that_this_process_may_not_use_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert environment.machine().usable_cores == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_an_idle_desktop_gives_no_warning() -> None:
    assert environment.warnings(machine(), [conditions()], threads=1) == []


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
    (warning,) = environment.warnings(machine(**where), [conditions(), conditions(**state)], threads=threads)
    assert said in warning


def test_the_ordinary_mode_of_a_pstate_driver_is_nothing_to_warn_of() -> None:
    states = [conditions(governors=("powersave (intel_pstate)",), power="mains")]
    assert environment.warnings(machine(), states, threads=1) == []
