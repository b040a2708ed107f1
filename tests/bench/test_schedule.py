"""Artifacts take turns, each in a process of its own, and whatever goes wrong with one is told."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from fakes.timed_artifacts import timing, write_artifact
from mobilevit_deploy.artifact import read_manifest
from mobilevit_deploy.bench.measurement import Context, Measurement, Timing, Untimed
from mobilevit_deploy.bench.records import read_measurements
from mobilevit_deploy.bench.schedule import Progress, run
from mobilevit_deploy.devices.runner import Job
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.parity.result import Verdict


class Notebook:
    """A device that only notes what it is asked to measure."""

    name = "notebook"
    context: Context = "host"

    def __init__(self, *, interrupt_at: int | None = None) -> None:
        self.jobs: list[Job] = []
        self._interrupt_at = interrupt_at

    def measure(self, job: Job) -> Timing | Untimed:
        self.jobs.append(job)
        if len(self.jobs) == self._interrupt_at:
            raise KeyboardInterrupt
        return timing()

    @property
    def files(self) -> list[str]:
        return [job.path.stem for job in self.jobs]


def reason(measurement: Measurement) -> str:
    assert isinstance(measurement.outcome, Untimed)
    return measurement.outcome.reason


def test_artifacts_take_turns(tmp_path: Path) -> None:
    device = Notebook()
    made = run(
        [write_artifact(tmp_path, name) for name in "abc"], rounds=2, samples=9, threads=3, runner=device
    )
    assert device.files == ["a", "b", "c", "a", "b", "c"]
    assert {(job.samples, job.threads) for job in device.jobs} == {(9, 3)}
    assert [each.round for each in made] == [1, 1, 1, 2, 2, 2]
    assert {each.device for each in made} == {"notebook"}


def test_the_record_says_what_was_measured(tmp_path: Path) -> None:
    path = write_artifact(tmp_path)
    subject = run([path], rounds=1, runner=Notebook())[0].subject
    manifest = read_manifest(path)
    assert (subject.file, subject.sha256, subject.bytes) == (manifest.file, manifest.sha256, manifest.bytes)
    assert (subject.target, subject.precision, subject.model) == ("timed", "fp32", "tiny")
    assert subject.image_size == (32, 48)


def test_progress_says_what_runs_now_and_what_came_of_the_last(tmp_path: Path) -> None:
    told: list[Progress] = []
    paths = [write_artifact(tmp_path, name) for name in "ab"]
    made = run(paths, rounds=2, on_progress=told.append, runner=Notebook())
    assert [(step.done, step.total, step.round) for step in told] == [
        (0, 4, 1),
        (1, 4, 1),
        (2, 4, 2),
        (3, 4, 2),
        (4, 4, 2),
    ]
    assert [step.running.file if step.running else None for step in told] == ["a.timed", "b.timed"] * 2 + [
        None
    ]
    assert [step.latest for step in told] == [None, *made]


@pytest.mark.parametrize(("verdict", "why"), [("fail", "best class agrees"), ("not-run", "has not been run")])
def test_what_is_not_proven_right_is_never_timed(tmp_path: Path, verdict: Verdict, why: str) -> None:
    device = Notebook()
    made = run(
        [write_artifact(tmp_path, "bad", verdict=verdict), write_artifact(tmp_path, "good")],
        rounds=2,
        runner=device,
    )
    assert device.files == ["good", "good"]
    assert [each.outcome.status for each in made] == ["refused", "timed", "timed"]
    assert why in reason(made[0])


def test_a_crash_is_told_once_and_the_others_go_on(tmp_path: Path) -> None:
    paths = [write_artifact(tmp_path, "bad", signal=signal.SIGSEGV), write_artifact(tmp_path, "good")]
    made = run(paths, rounds=2, samples=2)
    assert [(each.subject.file, each.outcome.status) for each in made] == [
        ("bad.timed", "failed"),
        ("good.timed", "timed"),
        ("good.timed", "timed"),
    ]
    assert "SIGSEGV" in reason(made[0])


def test_each_process_takes_as_many_samples_as_were_asked_for(tmp_path: Path) -> None:
    made = run([write_artifact(tmp_path, run_ms=1)], rounds=2, samples=6)
    assert [len(each.timing.samples_ms) for each in made if each.timing] == [6, 6]


def test_every_measurement_is_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    output = tmp_path / "bench.jsonl"
    paths = [write_artifact(tmp_path, name) for name in "ab"]
    with pytest.raises(KeyboardInterrupt):
        run(paths, rounds=2, output=output, runner=Notebook(interrupt_at=4))
    assert [each.subject.file for each in read_measurements(output)] == ["a.timed", "b.timed", "a.timed"]


def test_a_changed_artifact_is_noticed_before_anything_is_timed(tmp_path: Path) -> None:
    good, changed = write_artifact(tmp_path, "good"), write_artifact(tmp_path, "changed")
    changed.write_text('{"run_ms": 0}')
    device = Notebook()
    with pytest.raises(ArtifactError, match="changed after export"):
        run([good, changed], output=tmp_path / "bench.jsonl", runner=device)
    assert not device.jobs
    assert not (tmp_path / "bench.jsonl").exists()


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"samples": 0}, {"threads": 0}])
def test_nothing_to_do_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        run([write_artifact(tmp_path)], **wrong)
