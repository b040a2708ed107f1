"""What besides the artifacts themselves may have made one run slower than another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mobilevit_deploy.bench import doubts
from mobilevit_deploy.bench.matching import Process, Selection


def warnings(before: Selection, after: Selection) -> Iterator[str]:
    """One plain sentence each, perhaps more than once."""
    for name, side in (("BASE", before), ("NEW", after)):
        if side.left_out:
            yield (
                f"{name}: {side.left_out} measurements are left out: they are of older files of the same "
                "artifacts, or of another engine or machine than the latest ones."
            )
    for artifact in (each for each in before.timed if each in after.timed):
        yield from _differences(before.timed[artifact], after.timed[artifact])
    for side in (before, after):
        for group in side.timed.values():
            states = [state for each in group for state in (each.timing.before, each.timing.after)]
            threads = group[-1].measurement.threads
            yield from doubts.warnings(group[-1].timing.machine, states, threads=threads)


def _differences(base: Sequence[Process], new: Sequence[Process]) -> Iterator[str]:
    old, now = base[-1].timing, new[-1].timing
    if base[-1].measurement == new[-1].measurement:
        yield "BASE and NEW hold the same measurements: a run compared with itself shows nothing."
    if base[-1].place != new[-1].place:
        yield (
            f"BASE was measured on {base[-1].place_name}, NEW on {new[-1].place_name}: "
            "a difference may be that of the machines. Measure both on one."
        )
    elif (old.machine.system, old.machine.kernel) != (now.machine.system, now.machine.kernel):
        yield (
            f"The system changed from {old.machine.system}, kernel {old.machine.kernel}, to "
            f"{now.machine.system}, kernel {now.machine.kernel}: a difference may be the system's."
        )
    if old.engine != now.engine:
        yield f"The engine changed from {old.engine} to {now.engine}: a difference may be the engine's."
