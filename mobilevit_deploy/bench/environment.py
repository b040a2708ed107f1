"""The machine that a number came from, and the state it was in.

``machine`` is what stays the same while measuring, ``conditions`` what may not.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

LOOK_S = 0.2
"""How long ``conditions`` looks at what else keeps the processor busy."""

# Instructions that decide how fast a matrix multiply can be; names as in /proc/cpuinfo.
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")

_CPU = Path("/sys/devices/system/cpu")


class Cluster(BaseModel):
    """Cores of one kind that share a clock, slowest kind first: ``little``, ``mid``, ``big``."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["little", "mid", "big"]
    cores: tuple[int, ...]
    max_mhz: float


class Machine(BaseModel):
    """What stays the same while measuring.

    Attributes:
        name: maker and model of a phone; empty for a computer.
        cpu: as the processor names itself; virtual machines often hide it. Of a phone, its system on a chip.
        cpu_features: those of its instruction sets that matter for matrix multiplies.
        cores: logical cores of the machine.
        usable_cores: those that this process may run on.
        virtual: whether it is a virtual machine; None where that cannot be told.
        clusters: kinds of cores, where there are several or where their clocks can be read.
        python: that ran the artifact; empty where none did.
        libraries: versions of the target's libraries.
    """

    model_config = ConfigDict(frozen=True)

    name: str = ""
    system: str
    kernel: str
    architecture: str
    cpu: str
    cpu_features: tuple[str, ...]
    cores: int
    usable_cores: int
    memory_bytes: int
    virtual: bool | None
    clusters: tuple[Cluster, ...] = ()
    python: str = ""
    libraries: dict[str, str]

    @property
    def is_arm64(self) -> bool:
        """Whether it runs 64-bit ARM code, by Android's name for that or by Linux's."""
        return self.architecture.startswith(("arm64", "aarch64"))


class Conditions(BaseModel):
    """What may change from one measurement to the next.

    Attributes:
        busy: share of all cores' time, 0 to 1, that other programs took while this process slept; None where
            that cannot be told.
        load_average: over 1, 5 and 15 minutes; it counts the measurements before this one.
        frequencies_mhz: of each core; empty if unreadable.
        limits_mhz: what each core's frequency may rise to at the time: heat and power lower it, and then the
            machine is slower than it can be; empty if unreadable.
        governors: what drives the frequencies, such as ``powersave (acpi-cpufreq)``; empty if unreadable.
        power: ``mains``, ``battery``, or None if there is no battery to see.
        battery: its level, 0 to 1.
        battery_c: its temperature, the one that every phone tells.
        thermal_status: Android's, 0 (none) to 6 (shutdown); from 1 on, clocks may be lowered.
        temperatures_c: of the sensors that can be read, by their names.
        screen_on: whether the screen is lit, which costs heat and clock.
        low_power_mode: whether the battery saver is on, which lowers clocks.
        time_in_state_ms: of each clock that can be read, how long it ran at which MHz since the start.
    """

    model_config = ConfigDict(frozen=True)

    busy: float | None
    load_average: tuple[float, float, float] | None
    memory_available_bytes: int | None
    frequencies_mhz: tuple[float, ...]
    limits_mhz: tuple[float, ...] = ()
    governors: tuple[str, ...]
    power: str | None
    battery: float | None = None
    battery_c: float | None = None
    thermal_status: int | None = None
    temperatures_c: dict[str, float] = {}
    screen_on: bool | None = None
    low_power_mode: bool | None = None
    time_in_state_ms: dict[str, dict[int, int]] = {}


def machine(libraries: Iterable[str] = ()) -> Machine:
    """Describe this machine, and which versions of ``libraries`` (distributions) are installed."""
    import psutil

    return Machine(
        system=_system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu=_cpuinfo("model name") or platform.processor() or platform.machine(),
        cpu_features=tuple(name for name in _FEATURES if name in _flags()),
        cores=psutil.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        virtual=_virtual(),
        python=platform.python_version(),
        libraries={name: installed for name in libraries if (installed := _version(name))},
    )


def conditions() -> Conditions:
    """Look at the machine for ``LOOK_S`` seconds, in which the caller sleeps."""
    import psutil

    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return Conditions(
        busy=psutil.cpu_percent(interval=LOOK_S) / 100,
        load_average=psutil.getloadavg(),
        memory_available_bytes=psutil.virtual_memory().available,
        frequencies_mhz=_frequencies(),
        governors=_governors(),
        power=None if battery is None else "mains" if battery.power_plugged else "battery",
    )


def peak_memory_bytes() -> int:
    """The most memory that this process ever had resident."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        # Not getrusage: on Linux its maximum is inherited from the process that started this one.
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts it in bytes


def _system() -> str:
    if _is_mac():
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _is_mac() -> bool:
    return platform.system() == "Darwin"


def _usable_cores() -> int:
    import psutil

    process = psutil.Process()
    # macOS has no affinity: there every core is usable.
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1


def _frequencies() -> tuple[float, ...]:
    import psutil

    try:
        return tuple(float(core.current) for core in psutil.cpu_freq(percpu=True) or ())
    except (OSError, NotImplementedError):  # ARM machines and containers that hide it
        return ()


def _governors() -> tuple[str, ...]:
    found = set()
    for path in _CPU.glob("cpu*/cpufreq/scaling_governor"):
        driver = path.with_name("scaling_driver")
        found.add(
            f"{path.read_text().strip()} ({driver.read_text().strip() if driver.exists() else 'unknown'})"
        )
    return tuple(sorted(found))


def _virtual() -> bool | None:
    if _is_mac():
        return _sysctl("kern.hv_vmm_present") == "1"
    return "hypervisor" in _flags() if _flags() else None


@cache
def _flags() -> frozenset[str]:
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features") or "").split())


@cache
def _cpuinfo(field: str) -> str:
    if _is_mac():
        return _sysctl("machdep.cpu.brand_string") if field == "model name" else ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == field), "")


def _sysctl(name: str) -> str:
    import subprocess

    return subprocess.run(
        ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False
    ).stdout.strip()


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
