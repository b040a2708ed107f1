"""The two phases of a sweep: all exports, and after the last of them all measurements.

Nothing is exported while anything is timed on this machine. Both phases go on where they stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mobilevit_deploy import parallel, pipeline
from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench import schedule
from mobilevit_deploy.bench.measurement import Counted, Measurement, Subject, Timing, Weighed
from mobilevit_deploy.bench.records import read_measurements
from mobilevit_deploy.devices.runner import DeviceRunner
from mobilevit_deploy.devices.selection import open_devices
from mobilevit_deploy.output import output_folder, remove_abandoned
from mobilevit_deploy.sweep.made import Made
from mobilevit_deploy.sweep.matrix import Pass, Variant
from mobilevit_deploy.sweep.plan import Plan

RESULTS = "measurements.jsonl"

Opened = dict[str, list[DeviceRunner]]
"""Devices by the names in the plan, of which one can stand for several."""


class Workplace(Protocol):
    """Where exports run, and which devices there are."""

    def export(self, jobs: Sequence[parallel.Job], on_event: parallel.OnEvent) -> dict[str, parallel.Outcome]:
        """Run jobs of ``pipeline.export``, and return their outcomes by key."""

    def open_devices(self, name: str) -> list[DeviceRunner]:
        """The devices that ``name`` in a plan stands for.

        Raises:
            DeviceError: it is not there, or cannot be used.
        """


class Here:
    """This machine: a process for each export, and the devices on its cables."""

    def export(self, jobs: Sequence[parallel.Job], on_event: parallel.OnEvent) -> dict[str, parallel.Outcome]:
        """See ``Workplace.export``."""
        return parallel.run(jobs, on_event=on_event)

    def open_devices(self, name: str) -> list[DeviceRunner]:
        """See ``Workplace.open_devices``."""
        return open_devices([name])


def make(
    plan: Plan, made: Sequence[Made], where: Workplace, on_event: parallel.OnEvent = lambda *_: None
) -> list[Made]:
    """Export what is still to be made; one that fails does not stop the others.

    Raises:
        OutputError: the output folder cannot be written.
    """
    jobs = [_job(plan, each.variant) for each in made if each.to_do]
    output_folder(plan.output)
    if not jobs:
        return list(made)
    try:
        outcomes = where.export(jobs, on_event)
    finally:
        remove_abandoned(plan.output)
    return [_outcome(each.variant, outcomes[each.variant.key]) if each.to_do else each for each in made]


def _job(plan: Plan, variant: Variant) -> parallel.Job:
    choices = {
        **vars(variant),
        "calibration": plan.export.calibration,
        "evaluation": plan.export.evaluation,
        "gate": plan.export.gate,
        "output": plan.output,
    }
    return parallel.Job(variant.key, pipeline.export, choices)


def _outcome(variant: Variant, outcome: parallel.Outcome) -> Made:
    if outcome.error:
        return Made(variant, error=outcome.error)
    exported: pipeline.Exported = outcome.result
    return Made(variant, exported.path, exported.manifest)


@contextmanager
def devices_of(passes: Iterable[Pass], where: Workplace) -> Iterator[Opened]:
    """Open the devices of some passes, before minutes are spent on what would be measured on them.

    Raises:
        DeviceError: one is not there, or cannot be used.
    """
    opened: Opened = {}
    try:
        for name in dict.fromkeys(name for each in passes for name in each.devices):
            opened[name] = where.open_devices(name)
        yield opened
    finally:
        for device in (device for devices in opened.values() for device in devices):
            device.close()


def measure(
    plan: Plan,
    step: Pass,
    made: Sequence[Made],
    opened: Opened,
    on_progress: Callable[[schedule.Progress], None] = lambda _: None,
) -> list[Measurement]:
    """Measure the artifacts of a pass that passed, as far as they are not; returns all of this pass.

    Raises:
        DeviceError: a device could not be used, or went away; what was measured is kept.
    """
    proven = list(_proven(step, made))
    if not proven:
        return []
    devices = [device for name in step.devices for device in opened[name]]
    return schedule.run(
        [path for path, _ in proven],
        **plan.bench.model_dump(),
        threads=step.threads,
        cores=step.cores,
        output=plan.output / RESULTS,
        resume=True,
        on_progress=on_progress,
        devices=devices,
    )


def measured(plan: Plan) -> list[Measurement]:
    """What was measured so far."""
    path = plan.output / RESULTS
    return read_measurements(path) if path.exists() else []


def is_finished(
    plan: Plan, step: Pass, variant: Variant, made: Sequence[Made], found: Sequence[Measurement]
) -> bool:
    """Whether nothing is left to be measured of one variant in one pass, or nothing can be."""
    of_it = next(each for each in made if each.variant == variant)
    if of_it.manifest is None or not of_it.manifest.passed:
        return not of_it.to_do
    subject = Subject.of(of_it.manifest)
    for name in step.devices:
        known = {each.device for each in found if _stands_for(name, each.device)}
        for device in known:
            where = (subject, device, step.threads, step.cores)
            mine = [each for each in found if (each.subject, *_place(each)) == where]
            if not _is_complete(mine, plan.bench.rounds):
                return False
        if not known:
            return False
    return True


def is_through(plan: Plan, step: Pass, made: Sequence[Made], found: Sequence[Measurement]) -> bool:
    """Whether nothing is left to be measured in a pass."""
    return all(is_finished(plan, step, variant, made, found) for variant in step.variants)


def results(step: Pass, made: Sequence[Made], found: Sequence[Measurement]) -> list[Measurement]:
    """What was measured in a pass."""
    subjects = [Subject.of(manifest) for _, manifest in _proven(step, made)]
    return [
        each
        for each in found
        if each.subject in subjects
        and (each.threads, each.cores) == (step.threads, step.cores)
        and any(_stands_for(name, each.device) for name in step.devices)
    ]


def _proven(step: Pass, made: Sequence[Made]) -> Iterator[tuple[Path, Manifest]]:
    for each in made:
        if each.variant in step.variants and each.path and each.manifest and each.manifest.passed:
            yield each.path, each.manifest


def _place(measurement: Measurement) -> tuple[str, int, str]:
    return measurement.device, measurement.threads, measurement.cores


def _is_complete(measurements: Sequence[Measurement], rounds: int) -> bool:
    """Whether everything was measured of an artifact in one place, or something said no.

    Memory or instructions come after the last round: where they are known, the median was known well enough.
    """
    timed = {each.round for each in measurements if isinstance(each.outcome, Timing)}
    return any(
        each.refusal
        or isinstance(each.outcome, Counted)
        or (isinstance(each.outcome, Weighed) and len(timed) >= rounds)
        for each in measurements
    )


def _stands_for(name: str, device: str) -> bool:
    """Whether ``device`` is what ``name`` in a plan means: ``adb`` is whatever phone is there."""
    return device == name or device.startswith(f"{name}:")
