"""Exports come first and one that fails stops nothing; what was measured is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fakes import sweeps
from mobilevit_deploy import parallel
from mobilevit_deploy.bench.records import read_measurements
from mobilevit_deploy.bench.schedule import Progress
from mobilevit_deploy.devices.runner import DeviceRunner
from mobilevit_deploy.errors import CheckpointError, DeviceError
from mobilevit_deploy.sweep.made import Made, look
from mobilevit_deploy.sweep.matrix import Matrix, expand
from mobilevit_deploy.sweep.plan import Plan, parse_plan
from mobilevit_deploy.sweep.run import RESULTS, Here, devices_of, is_through, make, measure, measured, results

SWEEP = (
    'targets = ["timed"]\nimage_sizes = [64, 96]\nthreads = [1, 2]\noutput = "out"\n'
    '[bench]\nrounds = 1\nsamples = 3\nprecision = "off"\n'
)


class Sweep:
    """A sweep of artifacts that are there, measured in real processes on this machine."""

    def __init__(self, folder: Path, text: str = SWEEP) -> None:
        self.plan: Plan = parse_plan(text, folder / "sweep.toml")
        self.matrix: Matrix = expand(self.plan)
        self.made: list[Made] = look(self.plan, self.matrix.variants)

    def left(self) -> list[int]:
        found = measured(self.plan)
        return [
            step.threads for step in self.matrix.passes if not is_through(self.plan, step, self.made, found)
        ]

    def go(self, on_progress: Callable[[Progress], None] = lambda _: None) -> None:
        with devices_of(self.matrix.passes, Here()) as opened:
            for step in self.matrix.passes:
                measure(self.plan, step, self.made, opened, on_progress)


@pytest.fixture
def both(made_already: Callable[..., Path]) -> None:
    made_already(64)
    made_already(96)


@pytest.mark.usefixtures("both")
def test_every_pass_is_measured_once_wherever_it_was_interrupted(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    assert sweep.left() == [1, 2]
    begun = 0

    def interrupt(at: Progress) -> None:
        nonlocal begun
        begun += at.running is not None
        if begun == 2:
            raise KeyboardInterrupt

    interruptions = 0
    while sweep.left() and interruptions < 9:
        begun = 0
        try:
            sweep.go(interrupt)
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions > 2
    found = read_measurements(tmp_path / "out" / RESULTS)
    what = [(each.subject.file, each.threads, each.outcome.status, each.round) for each in found]
    assert len(what) == len(set(what)) == 2 * 2 * 2  # artifacts x threads x (time and memory)
    assert len({each.run for each in found}) == 2  # within one, artifacts took turns


def test_a_pass_that_is_through_is_known_without_its_devices(
    tmp_path: Path, made_already: Callable[..., Path]
) -> None:
    made_already(64)
    text = SWEEP.replace(", 96", "").replace(", 2]", "]")
    sweep = Sweep(tmp_path, text)
    sweep.go()
    assert sweep.left() == []
    assert len(results(sweep.matrix.passes[0], sweep.made, measured(sweep.plan))) == 2
    assert Sweep(tmp_path, text.replace("rounds = 1", "rounds = 3")).left() == [1]
    assert Sweep(tmp_path, 'devices = ["host", "adb"]\n' + text).left() == [1]


class Office:
    """A place whose exports end as they are told to."""

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = errors
        self.jobs: list[parallel.Job] = []

    def export(self, jobs: Sequence[parallel.Job], on_event: parallel.OnEvent) -> dict[str, parallel.Outcome]:
        self.jobs += jobs
        for job in jobs:
            on_event(job.key, "done")
        return {job.key: self._outcome(job) for job in jobs}

    def _outcome(self, job: parallel.Job) -> parallel.Outcome:
        if job.key in self.errors:
            return parallel.Outcome(None, CheckpointError("It is broken.", remedy="Mend it."), {})
        return parallel.Outcome(
            sweeps.export(output=job.arguments["output"], on_stage=lambda _: None), None, {}
        )

    def open_devices(self, name: str) -> list[DeviceRunner]:
        raise DeviceError(f"{name} is not there.", remedy="Plug it in.")


def test_only_what_is_not_there_is_exported_and_errors_stop_nothing(
    tmp_path: Path, made_already: Callable[..., Path]
) -> None:
    made_already(64)
    sweep = Sweep(tmp_path, SWEEP.replace("[64, 96]", "[64, 96, 128]"))
    office = Office(errors=["demo timed fp32 96"])
    made = make(sweep.plan, sweep.made, office)
    assert [job.key for job in office.jobs] == ["demo timed fp32 96", "demo timed fp32 128"]
    assert office.jobs[0].arguments["image_size"] == (96, 96)
    assert [bool(each.error) for each in made] == [False, True, False]
    assert not any(each.to_do for each in made)


def test_a_device_that_is_not_there_is_noticed_at_once(
    tmp_path: Path, made_already: Callable[..., Path]
) -> None:
    made_already(64)
    sweep = Sweep(tmp_path)
    with pytest.raises(DeviceError, match="host is not there"), devices_of(sweep.matrix.passes, Office([])):
        pass
