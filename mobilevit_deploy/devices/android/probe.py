"""Asking a device: one script, one round trip, one answer in sections."""

from __future__ import annotations

import re

from mobilevit_deploy.bench.environment import LOOK_S, Conditions, Machine
from mobilevit_deploy.devices.android import processor, properties, state
from mobilevit_deploy.devices.transport import Transport

TIMEOUT_S = 60.0
"""``dumpsys`` gives a service that does not answer ten seconds, and there are three of them."""

_MARK = "@@mobilevit-deploy:"

_CPU = "/sys/devices/system/cpu"

# ``grep . /dev/null FILES`` prints each line of many files behind its file's name, in one process.
_MACHINE = f"""
say() {{ echo; echo "{_MARK}$1"; }}
say uname; uname -r; uname -m
say properties; getprop
say release; cat /etc/os-release
say cpuinfo; cat /proc/cpuinfo
say meminfo; cat /proc/meminfo
say present; cat {_CPU}/present
say allowed; grep Cpus_allowed_list /proc/self/status
say clocks; grep . /dev/null {_CPU}/cpu[0-9]*/cpufreq/related_cpus \
    {_CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq {_CPU}/cpu[0-9]*/cpu_capacity
"""

_CONDITIONS = f"""
say() {{ echo; echo "{_MARK}$1"; }}
say stat; cat /proc/stat
sleep {LOOK_S} || sleep 1
say later; cat /proc/stat
say loadavg; cat /proc/loadavg
say meminfo; cat /proc/meminfo
say clocks; grep . /dev/null {_CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq \
    {_CPU}/cpu[0-9]*/cpufreq/scaling_max_freq \
    {_CPU}/cpu[0-9]*/cpufreq/scaling_governor {_CPU}/cpu[0-9]*/cpufreq/scaling_driver \
    {_CPU}/cpu[0-9]*/cpufreq/related_cpus {_CPU}/cpu[0-9]*/cpufreq/stats/time_in_state
say zones; grep . /dev/null /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp
say battery; dumpsys battery
say thermal; dumpsys thermalservice
say power; dumpsys power | grep -E 'mWakefulness=|Display Power: state='
say saver; settings get global low_power
"""


def machine(transport: Transport) -> Machine:
    """What stays the same of a device.

    Raises:
        DeviceError: it cannot be reached, or does not answer in time.
    """
    told = sections(transport.run(["sh", "-c", _MACHINE], timeout_s=TIMEOUT_S).stdout)
    found = properties.parse(told["properties"])
    kernel, _, architecture = told["uname"].strip().partition("\n")
    cores = len(processor.core_list(told["present"])) or processor.count(told["cpuinfo"]) or 1
    return Machine(
        name=properties.name(found),
        system=properties.system(found, told["release"]),
        kernel=kernel.strip(),
        architecture=found.get("ro.product.cpu.abi", "") or architecture.strip(),
        cpu=properties.chip(found) or processor.name(told["cpuinfo"]) or architecture.strip(),
        cpu_features=processor.features(told["cpuinfo"]),
        cores=cores,
        usable_cores=len(processor.core_list(told["allowed"].rpartition(":")[2])) or cores,
        memory_bytes=state.memory_bytes(told["meminfo"], "MemTotal") or 0,
        virtual=properties.virtual(found),
        clusters=processor.clusters(processor.by_core(told["clocks"])),
        libraries={},
    )


def conditions(transport: Transport) -> Conditions:
    """What state a device is in; looks at it for ``environment.LOOK_S`` seconds, as it does at this machine.

    Raises:
        DeviceError: it cannot be reached, or does not answer in time.
    """
    told = sections(transport.run(["sh", "-c", _CONDITIONS], timeout_s=TIMEOUT_S).stdout)
    battery = state.battery(told["battery"])
    thermal = state.thermal(told["thermal"])
    clocks = processor.by_core(told["clocks"])
    return Conditions(
        busy=state.busy(told["stat"], told["later"]),
        load_average=state.load_average(told["loadavg"]),
        memory_available_bytes=state.memory_bytes(told["meminfo"], "MemAvailable"),
        frequencies_mhz=processor.frequencies_mhz(clocks),
        limits_mhz=processor.frequencies_mhz(clocks, "scaling_max_freq"),
        governors=processor.governors(clocks),
        power=battery.power,
        battery=battery.level,
        battery_c=battery.celsius,
        thermal_status=thermal.status,
        temperatures_c=thermal.temperatures_c or state.zones(told["zones"]),
        screen_on=state.screen_on(told["power"]),
        low_power_mode=state.low_power_mode(told["saver"]),
        time_in_state_ms=processor.time_in_state_ms(clocks),
    )


class _Sections(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return ""


def sections(answer: str) -> dict[str, str]:
    """The answer taken apart; a section that is not there reads as empty."""
    parts = re.split(rf"^{re.escape(_MARK)}(\w+)\n?", answer, flags=re.MULTILINE)
    return _Sections(zip(parts[1::2], parts[2::2], strict=True))
