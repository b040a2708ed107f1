"""The state of a device, from procfs and ``dumpsys``.

The formats of ``dumpsys`` are those of AOSP's ``BatteryService.java``, ``ThermalManagerService.java`` and
``PowerManagerService.java`` of Android 10 to 15; before 10 there is no thermal service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

_NUMBER = r"-?\d{1,12}(?:\.\d{1,12})?"

PLAUSIBLE_C = (-40.0, 200.0)
"""Sensors that are not fitted report 0 K, 255 or the like."""

# ``Temperature.TYPE_BCL_*``: volts, amperes and per cent of the battery, in the same list as temperatures.
_NO_TEMPERATURES = {-1, 6, 7, 8}


@dataclass(frozen=True)
class Battery:
    """``power`` is ``mains`` on any charger; ``level`` is 0 to 1."""

    power: Literal["mains", "battery"] | None = None
    level: float | None = None
    celsius: float | None = None


@dataclass(frozen=True)
class Thermal:
    """``status`` is Android's, 0 (none) to 6 (shutdown)."""

    status: int | None = None
    temperatures_c: dict[str, float] = field(default_factory=dict)


def battery(text: str) -> Battery:
    """Read ``dumpsys battery``; a device without a battery says ``present: false``."""
    fields = dict(re.findall(r"^ *([A-Za-z ]+): (\S+) *$", text, re.MULTILINE))
    if fields.get("present") != "true":
        return Battery()
    level, scale = (_number(fields.get(name)) for name in ("level", "scale"))
    tenths = _number(fields.get("temperature"))
    powered = {value for name, value in fields.items() if name.endswith(" powered")}
    return Battery(
        power="mains" if "true" in powered else "battery" if powered else None,
        level=level / scale if level is not None and scale and 0 <= level <= scale else None,
        celsius=_plausible(None if tenths is None else tenths / 10),
    )


def thermal(text: str) -> Thermal:
    """Read ``dumpsys thermalservice``; of its two lists, what was cached may be hours old."""
    status = re.search(r"^Thermal Status: ([0-6])\s*$", text, re.MULTILINE)
    current = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    sensors = re.findall(
        rf"Temperature\{{mValue=({_NUMBER}), mType=(-?\d{{1,3}}), mName=([^,}}\n]+)", current, re.ASCII
    )
    return Thermal(
        status=int(status[1]) if status else None,
        temperatures_c={
            name.strip(): celsius
            for value, kind, name in sensors
            if int(kind) not in _NO_TEMPERATURES and (celsius := _plausible(float(value))) is not None
        },
    )


def zones(listing: str) -> dict[str, float]:
    """Read sysfs's thermal zones, as ``grep . FILES`` prints them; Android hides them from its shell."""
    lines = re.findall(r"/thermal_zone(\d{1,4})/(type|temp):(.*)$", listing, re.ASCII | re.MULTILINE)
    kinds = {zone: text.strip() for zone, file, text in lines if file == "type"}
    found = {}
    for zone, file, text in lines:
        thousandths = _number(text.strip()) if file == "temp" else None
        celsius = _plausible(None if thousandths is None else thousandths / 1000)
        if celsius is not None:
            found[kinds.get(zone) or f"zone {zone}"] = celsius
    return found


def screen_on(text: str) -> bool | None:
    """Read those lines of ``dumpsys power`` that tell whether the screen is lit."""
    if display := re.search(r"Display Power: state=(\w+)", text):
        return display[1] == "ON"
    if awake := re.search(r"mWakefulness=(\w+)", text):
        return awake[1] in {"Awake", "Dreaming"}
    return None


def low_power_mode(text: str) -> bool | None:
    """Read ``settings get global low_power``, which is ``null`` until it is first switched on."""
    return {"0": False, "null": False, "1": True}.get(text.strip())


def busy(earlier: str, later: str) -> float | None:
    """Share of all cores' time, 0 to 1, that was used between two looks at ``/proc/stat``."""
    before, after = _ticks(earlier), _ticks(later)
    if before is None or after is None:
        return None
    total = sum(after) - sum(before)
    # user, nice, system, idle, iowait: waiting for a disk leaves the core to others.
    idle = sum(after[3:5]) - sum(before[3:5])
    return min(max(1 - idle / total, 0.0), 1.0) if total > 0 else None


def load_average(text: str) -> tuple[float, float, float] | None:
    """Read ``/proc/loadavg``."""
    found = re.match(rf"\s*({_NUMBER}) ({_NUMBER}) ({_NUMBER})\b", text, re.ASCII)
    return (float(found[1]), float(found[2]), float(found[3])) if found else None


def memory_bytes(text: str, entry: str) -> int | None:
    """Read an entry of ``/proc/meminfo``."""
    found = re.search(rf"^{entry}:\s+(\d{{1,15}}) kB", text, re.ASCII | re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _ticks(text: str) -> list[int] | None:
    line = re.search(r"^cpu +((?:\d{1,18} ?){8})", text, re.ASCII | re.MULTILINE)
    return [int(word) for word in line[1].split()] if line else None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(_NUMBER, text, re.ASCII) else None


def _plausible(celsius: float | None) -> float | None:
    low, high = PLAUSIBLE_C
    return celsius if celsius is not None and low < celsius < high else None
