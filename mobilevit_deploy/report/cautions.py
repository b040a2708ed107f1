"""What makes the numbers of a report doubtful, in plain words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mobilevit_deploy.bench import doubts
from mobilevit_deploy.report.data import Row, Timed

UNSTEADY_CV = 0.05
"""Processes of one artifact that differ by more than this deserve a warning."""


def cautions(rows: Sequence[Row]) -> list[str]:
    """One sentence each, the devices' own first; they name the device where there are several."""
    timed = [(row.label, row.timed) for row in rows if row.timed]
    places: dict[tuple[object, ...], list[Timed]] = defaultdict(list)
    for _, each in timed:
        places[each.device, each.threads, each.machine.cpu, each.machine.usable_cores].append(each)
    several = len({each.device for _, each in timed}) > 1
    found = [
        f"{place[0].device}: {warning}" if several else warning
        for place in places.values()
        for warning in doubts.warnings(
            place[0].machine, [state for each in place for state in each.states], threads=place[0].threads
        )
    ]
    return list(dict.fromkeys([*found, *_unfair(rows), *_unsteady(timed)]))


def _unfair(rows: Sequence[Row]) -> Iterator[str]:
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, timed in ((row.name, row.timed) for row in rows if row.timed):
        for reason in timed.invalid:
            by_reason[timed.device, reason].append(name)
    for (device, reason), names in by_reason.items():
        count = "1 process" if len(names) == 1 else f"{len(names)} processes"
        artifacts = ", ".join(dict.fromkeys(names))
        yield f"{device}: {count} of {artifacts} left out, for no fair time was measured: {reason}"


def _unsteady(timed: Sequence[tuple[str, Timed]]) -> Iterator[str]:
    single = [label for label, each in timed if each.latency.cv is None]
    if single:
        yield (
            f"{', '.join(single)}: measured in a single process, which says nothing about the next one. "
            "Measure at least 3 rounds."
        )
    differing = {label: each.latency.cv for label, each in timed if (each.latency.cv or 0.0) > UNSTEADY_CV}
    if differing:
        worst = max(cv for cv in differing.values() if cv)
        yield (
            f"{', '.join(differing)}: processes differ by up to {worst:.0%} (CV of their medians). Measure "
            "more rounds on a quieter machine before you believe a small difference."
        )
