"""Cores and their clocks: ``/proc/cpuinfo`` of ARM, and sysfs as ``grep . FILES`` prints it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mobilevit_deploy.bench.environment import Cluster

FEATURES = ("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2")
"""Instruction sets that decide how fast a matrix multiply can be, as Linux names them: SIMD, and its half
floats, dot products, matrix multiplies and brain floats; scalable vectors; scalable matrices."""

MOST_CORES = 4096
"""Linux knows no more; whatever names a higher one is no list of cores."""

_TICK_MS = 10
"""``time_in_state`` counts in hundredths of a second (Documentation/cpu-freq/cpufreq-stats)."""

Clocks = Mapping[int, Mapping[str, str]]
"""Of each core, the contents of its files by their names."""

_STATE = re.compile(r"^(\d{1,12}) (\d{1,15})$", re.ASCII | re.MULTILINE)

_LINE = re.compile(r"/cpu(\d{1,4})/(?:[a-z]+/)*([a-z_]+):(.*)", re.ASCII)


def by_core(listing: str) -> dict[int, dict[str, str]]:
    """``/sys/devices/system/cpu/cpu0/cpufreq/related_cpus:0 1`` as ``{0: {"related_cpus": "0 1"}}``."""
    found: dict[int, dict[str, str]] = {}
    for line in listing.splitlines():
        if matched := _LINE.search(line):
            files = found.setdefault(int(matched[1]), {})
            before = files.get(matched[2])
            files[matched[2]] = matched[3] if before is None else f"{before}\n{matched[3]}"
    return dict(sorted(found.items()))


def core_list(text: str) -> tuple[int, ...]:
    """``0-3,7`` or ``0 1 2`` as numbers, ascending; empty if it is neither."""
    found: set[int] = set()
    for part in text.replace(",", " ").split():
        matched = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part, re.ASCII)
        if matched is None or int(matched[2] or 0) >= MOST_CORES:
            return ()
        found.update(range(int(matched[1]), int(matched[2] or matched[1]) + 1))
    return tuple(sorted(found))


def clusters(clocks: Clocks) -> tuple[Cluster, ...]:
    """Kinds of cores, slowest first.

    They are ordered by what the kernel thinks of their work per cycle and clock (``cpu_capacity``), then by
    clock: on some chips the small cores have the higher one.
    """
    kinds: dict[tuple[int, ...], tuple[int, int]] = {}
    for core, files in clocks.items():
        if highest := _number(files.get("cpuinfo_max_freq")):
            members = core_list(files.get("related_cpus", "")) or (core,)
            kinds[members] = (_number(files.get("cpu_capacity")) or 0, highest)
    ordered = sorted(kinds, key=lambda members: (kinds[members], members))
    return tuple(
        Cluster(
            kind="big" if members == ordered[-1] else "little" if members == ordered[0] else "mid",
            cores=members,
            max_mhz=kinds[members][1] / 1000,
        )
        for members in ordered
    )


def frequencies_mhz(clocks: Clocks, file: str = "scaling_cur_freq") -> tuple[float, ...]:
    """Each core's clock now, or another that is told of each core, such as ``scaling_max_freq``."""
    found = (_number(files.get(file)) for files in clocks.values())
    return tuple(kilohertz / 1000 for kilohertz in found if kilohertz)


def governors(clocks: Clocks) -> tuple[str, ...]:
    """What drives the clocks, each once, such as ``schedutil (cpufreq-dt)``."""
    return tuple(
        sorted(
            {
                f"{files['scaling_governor'].strip()} ({files.get('scaling_driver', 'unknown').strip()})"
                for files in clocks.values()
                if "scaling_governor" in files
            }
        )
    )


def time_in_state_ms(clocks: Clocks) -> dict[str, dict[int, int]]:
    """Of each clock, named by its first core, how long it ran at which MHz."""
    found: dict[str, dict[int, int]] = {}
    for core, files in clocks.items():
        first, *_ = core_list(files.get("related_cpus", "")) or (core,)
        lines = _STATE.findall(files.get("time_in_state", ""))
        if lines and f"cpu{first}" not in found:
            found[f"cpu{first}"] = {int(clock) // 1000: int(ticks) * _TICK_MS for clock, ticks in lines}
    return found


def features(cpuinfo: str) -> tuple[str, ...]:
    """Which of ``FEATURES`` all cores have."""
    lines = re.findall(r"^Features\s*:(.*)$", cpuinfo, re.MULTILINE)
    common = set.intersection(*(set(line.split()) for line in lines)) if lines else set()
    return tuple(feature for feature in FEATURES if feature in common)


def count(cpuinfo: str) -> int:
    """Cores that are switched on."""
    return len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE))


def name(cpuinfo: str) -> str:
    """What the processor, or the board, calls itself; empty if it does not."""
    found = dict(re.findall(r"^(Hardware|Model|model name)\s*:\s*(\S.*?)\s*$", cpuinfo, re.MULTILINE))
    return str(found.get("Hardware") or found.get("Model") or found.get("model name") or "")


def _number(text: str | None) -> int | None:
    matched = re.fullmatch(r"\s*(\d{1,15})\s*", text or "", re.ASCII)
    return int(matched[1]) if matched else None
