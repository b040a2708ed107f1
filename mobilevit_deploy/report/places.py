"""Where numbers came from, in words: a device, and the states that it was in around what was timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mobilevit_deploy.bench.environment import Cluster, Conditions, Machine
from mobilevit_deploy.report.data import Place, Report, Row, Timed
from mobilevit_deploy.report.naming import threads, where

_ARROW = " \N{RIGHTWARDS ARROW} "

_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's names of its thermal statuses (``PowerManager.THERMAL_STATUS_*``)."""


def title(place: Place) -> str:
    """A place among others, such as ``adb:R58M (adb shell)``."""
    return where(place.device, place.context)


def line(place: Place) -> str:
    """A place in one line."""
    machine = place.machine
    system = f", {machine.system}" if machine.name else ""
    named = f"{machine.name}, " if machine.name else ""
    return f"{title(place)}: {named}{cpu(machine)}{system}"


def groups(report: Report) -> dict[str, list[Row]]:
    """Rows by where and how they were timed: only what stands in one group may be compared.

    What was not timed on a device stands there too, and what was timed nowhere under an empty heading, unless
    there is only one group.
    """
    found: dict[str, list[Row]] = {}
    for row in report.rows:
        if row.timed:
            found.setdefault(_heading(row.timed), [])
    devices = {_heading(row.timed): row.timed.device for row in report.rows if row.timed}
    for row in report.rows:
        if row.timed:
            found[_heading(row.timed)].append(row)
            continue
        homes = [heading for heading, device in devices.items() if device in row.untimed_on]
        for heading in homes or (list(devices) if len(devices) == 1 else [""]):
            found.setdefault(heading, []).append(row)
    return found


def _heading(timed: Timed) -> str:
    """What must be the same of latencies that may be compared, in one line."""
    machine = timed.machine
    processor = machine.name or machine.cpu
    cores = f" on {timed.cores} cores" if timed.cores else ""
    limited = f", {machine.usable_cores} usable cores" if machine.usable_cores < machine.cores else ""
    return f"{where(timed.device, timed.context)}, {processor}, {threads(timed.threads)}{cores}{limited}"


def cpu(machine: Machine) -> str:
    """A processor in one line."""
    limited = f"{machine.usable_cores} of " if machine.usable_cores < machine.cores else ""
    kind = ", virtual machine" if machine.virtual else ""
    return f"{machine.cpu} ({limited}{machine.cores} cores{kind})"


def facts(place: Place) -> list[tuple[str, str]]:
    """All that is known of a place; what is not known is left out."""
    machine, pairs = place.machine, place.states
    states = [state for pair in pairs for state in pair]
    sensors = [(celsius, name) for state in states for name, celsius in state.temperatures_c.items()]
    busy = [state.busy for state in states if state.busy is not None]
    found = [
        ("Device", machine.name),
        ("Processor", cpu(machine)),
        ("Cores", ", ".join(map(_cluster, machine.clusters))),
        ("Instruction sets", ", ".join(machine.cpu_features)),
        ("Clock", _clocks(machine, states)),
        ("At top clock", _at_top(machine, pairs)),
        ("Governor", _each(states, lambda state: ", ".join(state.governors))),
        ("Power", _each(states, lambda state: state.power)),
        ("Battery", _battery(states)),
        ("Sensors", "up to {:.1f} °C ({})".format(*max(sensors)) if sensors else ""),
        ("Thermal status", _each(states, _thermal)),
        ("Screen", _each(states, lambda state: _choose(state.screen_on, "lit", "off"))),
        ("Battery saver", _each(states, lambda state: _choose(state.low_power_mode, "on", "off"))),
        ("Used by others", f"at most {max(busy):.0%} of the processor" if busy else ""),
        ("Memory", f"{machine.memory_bytes / 1e9:.1f} GB" if machine.memory_bytes else ""),
        ("System", ", ".join(filter(None, [machine.system, machine.kernel and f"kernel {machine.kernel}"]))),
        ("ABI" if machine.name else "Architecture", machine.architecture),
        ("Python", machine.python),
    ]
    return [(name, value) for name, value in found if value]


def _cluster(cluster: Cluster) -> str:
    return f"{len(cluster.cores)} {cluster.kind} up to {cluster.max_mhz / 1000:.2f} GHz"


def _clocks(machine: Machine, states: Sequence[Conditions]) -> str:
    """The clocks seen, of each kind of cores where it is clear which clock is whose."""
    if machine.clusters and all(len(state.frequencies_mhz) == machine.cores for state in states):
        kinds = (
            (each.kind, [state.frequencies_mhz[core] for state in states for core in each.cores])
            for each in machine.clusters
        )
        return ", ".join(f"{kind} {_range(mhz)}" for kind, mhz in kinds)
    return _range([mhz for state in states for mhz in state.frequencies_mhz if mhz])


def _range(mhz: Sequence[float]) -> str:
    if not mhz:
        return ""
    low, high = (f"{pick(mhz) / 1000:.2f}" for pick in (min, max))
    return f"{low} GHz" if low == high else f"{low} to {high} GHz"


def _at_top(machine: Machine, pairs: Sequence[tuple[Conditions, Conditions]]) -> str:
    """For what share of the time in which artifacts ran each clock was at its highest."""
    kinds = {f"cpu{cluster.cores[0]}": cluster.kind for cluster in machine.clusters}
    clocks = dict.fromkeys(clock for pair in pairs for clock in pair[0].time_in_state_ms)
    shares = ((kinds.get(clock, clock), _share_at_top(clock, pairs)) for clock in clocks)
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share is not None)


def _share_at_top(clock: str, pairs: Sequence[tuple[Conditions, Conditions]]) -> float | None:
    spent: dict[int, int] = {}
    for before, after in pairs:
        earlier = before.time_in_state_ms.get(clock, {})
        for mhz, ms in after.time_in_state_ms.get(clock, {}).items():
            spent[mhz] = spent.get(mhz, 0) + max(ms - earlier.get(mhz, 0), 0)
    total = sum(spent.values())
    return spent[max(spent)] / total if total else None


def _battery(states: Sequence[Conditions]) -> str:
    level = _course(states, lambda state: state.battery, "{:.0%}")
    heat = _course(states, lambda state: state.battery_c, "{:.1f} °C")
    return "; ".join(filter(None, [level, heat]))


def _course(states: Sequence[Conditions], value: Callable[[Conditions], float | None], form: str) -> str:
    """What became of a value from the first process to the last, and its peak if that lies between."""
    known = [found for state in states if (found := value(state)) is not None]
    if not known:
        return ""
    first, last, peak = (form.format(each) for each in (known[0], known[-1], max(known)))
    course = first if first == last else f"{first}{_ARROW}{last}"
    return course if peak in {first, last} else f"{course}, at most {peak}"


def _each(states: Iterable[Conditions], value: Callable[[Conditions], str | None]) -> str:
    """Whatever it was, each once."""
    return ", ".join(dict.fromkeys(found for state in states if (found := value(state))))


def _thermal(state: Conditions) -> str | None:
    if state.thermal_status is None:
        return None
    return f"{state.thermal_status} ({_THERMAL[state.thermal_status]})"


def _choose(value: bool | None, yes: str, no: str) -> str | None:
    return None if value is None else yes if value else no
