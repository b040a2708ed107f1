"""What of a machine and its state makes a latency doubtful, in plain words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.bench.readiness import COOL_STATUS, LEAST_CAP

BUSY = 0.1
"""Share of the processor that others may use before it is worth a warning."""

FULL = 0.99
"""Level of a battery from which its charging no longer warms it."""


def warnings(where: Machine, states: Sequence[Conditions], *, threads: int) -> list[str]:
    """Whatever makes latencies measured there doubtful, one plain sentence each."""
    found = []
    busiest = max((state.busy or 0.0 for state in states), default=0.0)
    if busiest > BUSY:
        found.append(
            f"Other programs used up to {busiest:.0%} of the processor between measurements: "
            "close them and measure again."
        )
    # Only phones have a name. They run on their battery all day, and on a charger they grow warm.
    found += _of_phone(where, states) if where.name else _of_computer(states)
    if where.virtual:
        found.append(
            "This is a virtual machine: others may share its processor unseen. "
            "Trust the ratios more than the milliseconds."
        )
    if where.usable_cores <= threads:
        found.append(
            f"{_count(threads, 'thread')} on {_count(where.usable_cores, 'usable core')}: "
            "everything else on the machine competes with the measurement. "
            + ("Use fewer threads." if threads > 1 else "Allow the process a second core.")
        )
    return found


def _of_computer(states: Sequence[Conditions]) -> Iterator[str]:
    if any(state.power == "battery" for state in states):
        yield "The machine ran on battery, which slows processors down: plug it in."
    if slow := _slow_governor(states):
        yield (
            f"The frequency governor is {slow}: clocks may have been low. "
            "'cpupower frequency-set -g performance' holds them up."
        )


def _of_phone(where: Machine, states: Sequence[Conditions]) -> Iterator[str]:
    if any(state.screen_on for state in states):
        yield "The screen is lit, which costs heat and clock: switch it off."
    if any(state.power == "mains" and state.battery is not None and state.battery < FULL for state in states):
        yield (
            "The battery was being charged, which warms the phone: let it charge full first, "
            "or connect to it without a cable."
        )
    if any(state.low_power_mode for state in states):
        yield "The battery saver was on, which lowers clocks: switch it off."
    warmest = max((state.thermal_status or 0 for state in states), default=0)
    if warmest > COOL_STATUS:
        yield (
            f"Android's thermal status rose to {warmest}, from which on it may lower clocks: "
            "let the phone cool and measure again."
        )
    if slow := _slow_governor(states):
        yield f"The frequency governor is {slow}: clocks may have been low."
    yield from _capped(where, states)


def _capped(where: Machine, states: Sequence[Conditions]) -> Iterator[str]:
    """A cap that was there from the beginning invalidates no process, yet slows all of them down."""
    for cluster in where.clusters:
        limits = [
            state.limits_mhz[core]
            for state in states
            for core in cluster.cores
            if len(state.limits_mhz) == where.cores
        ]
        lowest = min(limits, default=cluster.max_mhz)
        if lowest < cluster.max_mhz * (1 - LEAST_CAP):
            yield (
                f"The {cluster.kind} cores could clock up to {lowest:.0f} MHz only, "
                f"of {cluster.max_mhz:.0f}: let the phone cool and charge, and measure again."
            )


def _slow_governor(states: Sequence[Conditions]) -> str | None:
    return min((name for state in states for name in state.governors if _holds_back(name)), default=None)


def _holds_back(governor: str) -> bool:
    # The pstate drivers call their ordinary mode, which does clock up under load, "powersave" as well.
    return governor.startswith(("powersave", "conservative")) and "pstate" not in governor


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
