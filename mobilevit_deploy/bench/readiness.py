"""When a device is fit to be measured, and whether it stayed so.

A phone that is warm, saves its battery or is nearly empty lowers its clocks: what is measured then is its
state, not the artifact. What cannot be read hinders nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mobilevit_deploy.bench.environment import Conditions
from mobilevit_deploy.errors import DeviceError

LEAST_BATTERY = 0.20
"""Below about 15 % phones start their battery saver, and a series of measurements takes some per cent."""

WARMEST_START_C = 35.0
"""Of the battery. Idle phones lie at 25 to 32 °C; throttling begins at 37 to 40 °C of the skin."""

COOL_STATUS = 0
"""Android's thermal status from which it may lower clocks is 1, "light"."""

LOOK_EVERY_S = 10.0
"""Phones cool by about half a degree a minute."""

LEAST_CAP = 0.01
"""A limit that falls by less than this share is a rounding of another step, not a cap."""


def wait_until_ready(
    read: Callable[[], Conditions],
    limit_s: float,
    on_wait: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Conditions:
    """Wait until the device is cool, and return the conditions that it is then in.

    Args:
        read: looks at the device.
        limit_s: how long to wait at most.
        on_wait: takes a line of progress at each look.
        clock: monotonic seconds.
        sleep: waits for that many seconds.

    Raises:
        DeviceError: it did not cool in time, or waiting does not help.
    """
    until = clock() + limit_s
    while True:
        now = read()
        if (refusal := _refusal(now)) is not None:
            raise refusal
        warmth = _warmth(now)
        if warmth is None:
            return now
        left_s = until - clock()
        if left_s <= 0:
            raise DeviceError(
                f"The device did not cool within {limit_s:g} s: {warmth}.",
                remedy="Take it out of its case and the sun, end what runs on it, or allow more time.",
            )
        on_wait(f"Waiting for the device to cool: {warmth} ({left_s:.0f} s left).")
        sleep(min(LOOK_EVERY_S, left_s))


def throttled(before: Conditions, after: Conditions) -> str | None:
    """Why what was measured in between must not count; None if nothing slowed the device down."""
    if after.thermal_status is not None and after.thermal_status > COOL_STATUS:
        return f"The device throttled: its thermal status rose to {after.thermal_status}."
    if after.low_power_mode:
        return "The battery saver came on, which lowers clocks."
    if len(before.limits_mhz) == len(after.limits_mhz):
        for core, (first, last) in enumerate(zip(before.limits_mhz, after.limits_mhz, strict=True)):
            if last < first * (1 - LEAST_CAP):
                return f"The clock of core {core} was capped, from {first:.0f} to {last:.0f} MHz."
    return None


def _refusal(now: Conditions) -> DeviceError | None:
    if now.low_power_mode:
        return DeviceError(
            "The battery saver is on, which lowers clocks.",
            remedy="Switch it off in the settings of the device.",
        )
    if now.battery is not None and now.battery < LEAST_BATTERY and now.power != "mains":
        return DeviceError(
            f"The battery is at {now.battery:.0%}, and is not charged.",
            remedy=f"Charge it to {LEAST_BATTERY:.0%} or more, or leave it on the charger.",
        )
    return None


def _warmth(now: Conditions) -> str | None:
    if now.thermal_status is not None and now.thermal_status > COOL_STATUS:
        return f"its thermal status is {now.thermal_status}, and must be {COOL_STATUS}"
    if now.battery_c is not None and now.battery_c > WARMEST_START_C:
        return f"its battery has {now.battery_c:.1f} °C, and may have {WARMEST_START_C:g} °C"
    return None
