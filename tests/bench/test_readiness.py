"""When a phone may be measured, how long is waited for it, and when a measurement does not count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.timed_artifacts import conditions
from mobilevit_deploy.bench import readiness
from mobilevit_deploy.bench.environment import Conditions
from mobilevit_deploy.errors import DeviceError

READY = {"battery": 0.8, "battery_c": 28.0, "thermal_status": 0, "low_power_mode": False, "power": "battery"}


def phone(**changes: Any) -> Conditions:
    return conditions(**{**READY, **changes})


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def wait(
    states: Iterable[Conditions], limit_s: float = 600, clock: Clock | None = None
) -> tuple[Conditions, list[str]]:
    looks, said, clock = iter(states), [], clock or Clock()  # type: ignore[var-annotated]
    found = readiness.wait_until_ready(
        lambda: next(looks), limit_s, said.append, clock=clock, sleep=clock.sleep
    )
    return found, said


@pytest.mark.parametrize(
    "state",
    [
        phone(),
        phone(battery=0.05, power="mains"),
        phone(battery_c=35.0),
        phone(screen_on=True),
        conditions(),
    ],
    ids=["cool and full", "on the charger", "just cool enough", "screen on", "knows nothing"],
)
def test_a_phone_that_is_fit_is_not_waited_for(state: Conditions) -> None:
    assert wait([state]) == (state, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"battery_c": 41.3}, "battery has 41.3 °C"), ({"thermal_status": 2}, "thermal status is 2")],
)
def test_a_warm_phone_is_waited_for_and_the_user_told(changes: dict[str, Any], said: str) -> None:
    found, lines = wait([phone(**changes), phone(**changes), phone()])
    assert found == phone()
    assert len(lines) == 2
    assert said in lines[0]
    assert "600 s left" in lines[0]
    assert "590 s left" in lines[1]


def test_waiting_has_an_end() -> None:
    clock = Clock()
    with pytest.raises(DeviceError, match=r"did not cool within 25 s: its battery has 40\.0 °C") as hot:
        wait((phone(battery_c=40.0) for _ in range(100)), 25, clock)
    assert clock.now == 1025
    assert "case" in hot.value.remedy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"low_power_mode": True}, "battery saver is on"),
        ({"battery": 0.19}, "battery is at 19%"),
        ({"battery": 0.19, "power": None}, "battery is at 19%"),
    ],
)
def test_what_does_not_pass_by_itself_is_refused_at_once(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        wait([phone(**changes)])


def test_a_battery_that_runs_empty_while_waiting_ends_the_wait() -> None:
    with pytest.raises(DeviceError, match="battery is at 19%"):
        wait([phone(battery_c=40.0), phone(battery=0.19)])


CAPPED = {"limits_mhz": (1704.0, 2100.0)}
FREE = {"limits_mhz": (1704.0, 2914.0)}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"thermal_status": 1}, "thermal status rose to 1"),
        ({}, {"low_power_mode": True}, "battery saver came on"),
        (FREE, CAPPED, "core 1 was capped, from 2914 to 2100 MHz"),
    ],
)
def test_what_slowed_the_phone_makes_a_measurement_invalid(
    before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    assert said in (readiness.throttled(phone(**before), phone(**after)) or "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"thermal_status": None}, {"thermal_status": None}),
        ({}, {"battery_c": 44.0}),
        (CAPPED, FREE),
        (FREE, FREE),
        (FREE, {}),
        ({}, CAPPED),
    ],
)
def test_what_did_not_slow_it_does_not(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert readiness.throttled(phone(**before), phone(**after)) is None


@given(
    temperatures=st.lists(st.one_of(st.none(), st.floats(20, 60)), min_size=1),
    limit_s=st.floats(0, 300),
)
def test_never_waits_longer_than_allowed_and_never_starts_warm(
    temperatures: list[float | None], limit_s: float
) -> None:
    clock = Clock()
    states = [*(phone(battery_c=celsius) for celsius in temperatures), *[phone(battery_c=50.0)] * 40]
    try:
        found, _ = wait(states, limit_s, clock)
    except DeviceError:
        assert clock.now == pytest.approx(1000 + limit_s)
    else:
        assert found.battery_c is None or found.battery_c <= readiness.WARMEST_START_C
    assert clock.now <= 1000 + limit_s + 1e-6
