"""Artifacts take turns, each in a process of its own, and whatever goes wrong with one is told."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from fakes.timed_artifacts import timing, write_artifact
from mobilevit_deploy.artifact import Artifact, Manifest, read_manifest
from mobilevit_deploy.bench.measurement import (
    Checked,
    Context,
    Counted,
    Measurement,
    Quoted,
    Timing,
    Untimed,
    Weighed,
    Work,
)
from mobilevit_deploy.bench.records import read_measurements
from mobilevit_deploy.bench.schedule import REPEATS, Progress, run
from mobilevit_deploy.devices.runner import Job
from mobilevit_deploy.devices.vendor import Summary
from mobilevit_deploy.errors import ArtifactError, DeviceLostError
from mobilevit_deploy.parity.result import Verdict

TIME: tuple[Work, ...] = ("time",)


class Notebook:
    """A device that only notes what it is asked to measure, and answers as it was told."""

    context: Context = "host"

    def __init__(
        self,
        name: str = "notebook",
        *,
        works: tuple[Work, ...] = TIME,
        tools: tuple[str, ...] = (),
        proven: bool = True,
        lost_at: int | None = None,
        interrupt_at: int | None = None,
        answers: Sequence[Timing] = (),
        cannot: str | None = None,
        computes: Callable[[Job, NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        self.name, self.works, self.tools = name, works, tools
        self.jobs: list[Job] = []
        self.settled = 0
        self.closed = False
        self._proven, self._lost_at, self._interrupt_at = proven, lost_at, interrupt_at
        self._answers = iter(answers)
        self._cannot = cannot
        self._computes = computes

    def cannot_run(self, manifest: Manifest) -> str | None:  # noqa: ARG002
        return self._cannot

    def settle(self, on_wait: Callable[[str], None]) -> None:
        self.settled += 1
        on_wait("waiting to cool: 41 °C")

    def proof_holds(self, manifest: Manifest) -> bool:  # noqa: ARG002
        return self._proven

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        assert self._computes
        return "pen 1.0", [(self._computes(job, pixels),) for pixels in inputs]

    def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
        self.jobs.append(job)
        if len(self.jobs) == self._lost_at:
            raise DeviceLostError("the cable was pulled.", remedy="Plug it in.")
        if len(self.jobs) == self._interrupt_at:
            raise KeyboardInterrupt
        if job.work == "memory":
            return Weighed(engine="pen 1.0", before_bytes=10, peak_bytes=30, pss_bytes=None)
        if job.work == "count":
            return Counted(engine="pen 1.0", cpu="pen", instructions=(7, 7))
        if job.work == "tool":
            return Quoted(summary=Summary(tool="ink", mean_ms=3.0))
        return next(self._answers, timing())

    def close(self) -> None:
        self.closed = True

    @property
    def files(self) -> list[str]:
        return [job.path.stem for job in self.jobs]


def reason(measurement: Measurement) -> str:
    assert isinstance(measurement.outcome, Untimed)
    return measurement.outcome.reason


def test_artifacts_take_turns(tmp_path: Path) -> None:
    device = Notebook()
    made = run(
        [write_artifact(tmp_path, name) for name in "abc"], rounds=2, samples=9, threads=3, devices=[device]
    )
    assert device.files == ["a", "b", "c", "a", "b", "c"]
    assert {(job.samples, job.threads) for job in device.jobs} == {(9, 3)}
    assert [each.round for each in made] == [1, 1, 1, 2, 2, 2]
    assert {each.device for each in made} == {"notebook"}


def test_the_record_says_what_was_measured(tmp_path: Path) -> None:
    path = write_artifact(tmp_path)
    subject = run([path], rounds=1, devices=[Notebook()])[0].subject
    manifest = read_manifest(path)
    assert (subject.file, subject.sha256, subject.bytes) == (manifest.file, manifest.sha256, manifest.bytes)
    assert (subject.target, subject.precision, subject.model) == ("timed", "fp32", "tiny")
    assert subject.image_size == (32, 48)


def test_progress_says_what_runs_now_and_what_came_of_the_last(tmp_path: Path) -> None:
    told: list[Progress] = []
    paths = [write_artifact(tmp_path, name) for name in "ab"]
    made = run(paths, rounds=2, on_progress=told.append, devices=[Notebook()])
    begun = [step for step in told if "cool" not in step.doing]
    assert [(step.done, step.total, step.doing) for step in begun] == [
        (0, 4, "round 1"),
        (1, 4, "round 1"),
        (2, 4, "round 2"),
        (3, 4, "round 2"),
        (4, 4, "done"),
    ]
    assert [step.running.file if step.running else None for step in begun] == ["a.timed", "b.timed"] * 2 + [
        None
    ]
    assert [step.latest for step in begun] == [None, *made]
    assert [step.doing for step in told if step not in begun] == ["waiting to cool: 41 °C"] * 4


@pytest.mark.parametrize(("verdict", "why"), [("fail", "best class agrees"), ("not-run", "has not been run")])
def test_what_is_not_proven_right_is_never_timed(tmp_path: Path, verdict: Verdict, why: str) -> None:
    device = Notebook()
    made = run(
        [write_artifact(tmp_path, "bad", verdict=verdict), write_artifact(tmp_path, "good")],
        rounds=2,
        devices=[device],
    )
    assert device.files == ["good", "good"]
    assert [each.outcome.status for each in made] == ["refused", "timed", "timed"]
    assert why in reason(made[0])


def test_a_crash_is_told_once_and_the_others_go_on(tmp_path: Path) -> None:
    paths = [write_artifact(tmp_path, "bad", signal=signal.SIGSEGV), write_artifact(tmp_path, "good")]
    made = run(paths, rounds=2, samples=2, memory=False)
    assert [(each.subject.file, each.outcome.status) for each in made] == [
        ("bad.timed", "failed"),
        ("good.timed", "timed"),
        ("good.timed", "timed"),
    ]
    assert "SIGSEGV" in reason(made[0])


def test_each_process_takes_as_many_samples_as_were_asked_for(tmp_path: Path) -> None:
    made = run([write_artifact(tmp_path, run_ms=1)], rounds=2, samples=6, memory=False)
    assert [len(each.timing.samples_ms) for each in made if each.timing] == [6, 6]


def test_every_measurement_is_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    output = tmp_path / "bench.jsonl"
    paths = [write_artifact(tmp_path, name) for name in "ab"]
    with pytest.raises(KeyboardInterrupt):
        run(paths, rounds=2, output=output, devices=[Notebook(interrupt_at=4)])
    assert [each.subject.file for each in read_measurements(output)] == ["a.timed", "b.timed", "a.timed"]


def test_a_changed_artifact_is_noticed_before_anything_is_timed(tmp_path: Path) -> None:
    good, changed = write_artifact(tmp_path, "good"), write_artifact(tmp_path, "changed")
    changed.write_text('{"run_ms": 0}')
    device = Notebook()
    with pytest.raises(ArtifactError, match="changed after export"):
        run([good, changed], output=tmp_path / "bench.jsonl", devices=[device])
    assert not device.jobs
    assert not (tmp_path / "bench.jsonl").exists()


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"samples": 0}, {"threads": 0}])
def test_nothing_to_do_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        run([write_artifact(tmp_path)], **wrong)


def test_memory_and_instructions_have_passes_of_their_own(tmp_path: Path) -> None:
    device = Notebook(works=("time", "memory", "count"))
    made = run([write_artifact(tmp_path, name) for name in "ab"], rounds=1, devices=[device])
    assert [job.work for job in device.jobs] == ["time", "time", "count", "count", "memory", "memory"]
    assert [each.outcome.status for each in made] == ["timed"] * 2 + ["counted"] * 2 + ["weighed"] * 2
    assert device.settled == 2  # heat changes a time, and neither of the others


def spread(*medians: float) -> list[Timing]:
    return [timing(samples_ms=(median,) * 5) for median in medians]


def test_rounds_go_on_until_the_median_is_known_as_well_as_asked(tmp_path: Path) -> None:
    device = Notebook(answers=spread(2.0, 2.2, 2.1, 2.0, 2.2, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1))
    made = run([write_artifact(tmp_path)], rounds=3, precision=0.05, devices=[device])
    assert 3 < len(made) < 12
    medians = [each.timing.samples_ms for each in made if each.timing]
    assert len(medians) == len(made)


def test_steady_medians_need_no_further_round(tmp_path: Path) -> None:
    device = Notebook(answers=spread(2.0, 2.001, 2.002))
    assert len(run([write_artifact(tmp_path)], rounds=3, precision=0.02, devices=[device])) == 3


def test_rounds_end_when_time_is_up(tmp_path: Path) -> None:
    device = Notebook(answers=spread(2.0, 4.0, 2.0, 4.0))
    made = run([write_artifact(tmp_path)], rounds=2, precision=0.01, max_seconds=0, devices=[device])
    assert len(made) == 2


def test_one_that_is_known_badly_keeps_all_of_them_taking_turns(tmp_path: Path) -> None:
    """Ratios are of rounds in pairs: one that is steady alone would be compared with other conditions."""
    device = Notebook(answers=spread(*(2.0, 5.0, 2.0, 5.5) * 2, *(2.0, 5.2) * 20))
    run([write_artifact(tmp_path, name) for name in "ab"], rounds=2, precision=0.05, devices=[device])
    assert len(device.files) > 4
    assert device.files == ["a", "b"] * (len(device.files) // 2)


def test_a_turn_that_throttled_is_kept_marked_and_tried_again(tmp_path: Path) -> None:
    hot = timing(invalid="The thermal status rose to 2.")
    made = run([write_artifact(tmp_path)], rounds=2, devices=[Notebook(answers=[timing(), hot, timing()])])
    assert [(each.round, bool(each.timing)) for each in made] == [(1, True), (2, False), (2, True)]


def test_a_device_that_always_throttles_is_not_tried_for_ever(tmp_path: Path) -> None:
    hot = timing(invalid="The thermal status rose to 2.")
    made = run([write_artifact(tmp_path)], rounds=1, devices=[Notebook(answers=[hot] * 20)])
    assert len(made) == 1 + REPEATS
    assert not any(each.timing for each in made)


def test_an_artifact_that_no_runner_takes_says_so_and_is_no_failure(tmp_path: Path) -> None:
    (untimed,) = run([write_artifact(tmp_path)], devices=[Notebook(cannot="There is no runner for timed.")])
    assert (untimed.outcome.status, reason(untimed)) == ("not-timed", "There is no runner for timed.")


def test_a_vendors_tool_is_asked_last_and_of_artifacts_without_a_runner_too(tmp_path: Path) -> None:
    paths = [write_artifact(tmp_path)]
    made = run(paths, rounds=1, devices=[Notebook(tools=("timed",))])
    assert [(each.work, each.outcome.status) for each in made] == [("time", "timed"), ("tool", "quoted")]
    made = run(paths, rounds=1, devices=[Notebook(tools=("timed",), cannot="There is no runner.")])
    assert [(each.work, each.outcome.status) for each in made] == [
        ("parity", "not-timed"),
        ("tool", "quoted"),
    ]


class TestProof:
    """What runs on a device must compute there what the reference computes, before it is timed."""

    @pytest.fixture
    def path(self, exported: Callable[..., Any]) -> Path:
        return exported("onnx").path

    @pytest.fixture
    def session_of(self) -> Callable[[Artifact], Callable[[NDArray[Any]], NDArray[Any]]]:
        from mobilevit_deploy.target import get_target

        return lambda artifact: lambda pixels: get_target("onnx").open_session(artifact).run(pixels)[0]

    def test_a_device_that_computes_the_same_is_timed(self, path: Path, session_of: Any) -> None:
        device = Notebook(proven=False, computes=lambda job, pixels: session_of(job.artifact)(pixels))
        made = run([path], rounds=1, devices=[device])
        assert [each.outcome.status for each in made] == ["checked", "timed"]
        assert isinstance(made[0].outcome, Checked)
        assert made[0].outcome.parity.passed
        assert made[0].outcome.parity.engine == "pen 1.0"

    def test_a_device_that_computes_something_else_gets_a_verdict_and_no_time(
        self, path: Path, session_of: Any
    ) -> None:
        device = Notebook(proven=False, computes=lambda job, pixels: session_of(job.artifact)(pixels) * 1.2)
        (checked,) = run([path], rounds=2, devices=[device])
        assert isinstance(checked.outcome, Checked)
        assert checked.outcome.parity.verdict == "fail"
        assert not device.jobs

    def test_what_the_export_proved_there_is_not_proven_again(self, path: Path) -> None:
        assert [each.outcome.status for each in run([path], rounds=1, devices=[Notebook()])] == ["timed"]

    def test_a_checkpoint_that_moved_is_told_and_can_be_named(
        self, path: Path, session_of: Any, tmp_path: Path
    ) -> None:
        manifest = read_manifest(path)
        card = manifest.model.model_copy(update={"source": "/nowhere/checkpoint"})
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        copy.with_name(copy.name + ".json").write_text(
            manifest.model_copy(update={"model": card}).model_dump_json(), encoding="utf-8"
        )
        device = Notebook(proven=False, computes=lambda job, pixels: session_of(job.artifact)(pixels))
        (untimed,) = run([copy], rounds=1, devices=[device])
        assert "/nowhere/checkpoint" in reason(untimed)
        assert "--model" in reason(untimed)
        made = run([copy], rounds=1, model="demo", devices=[device])
        assert [each.outcome.status for each in made] == ["checked", "timed"]


class TestResume:
    def test_goes_on_where_the_cable_was_pulled(self, tmp_path: Path) -> None:
        paths = [write_artifact(tmp_path, name) for name in "ab"]
        output = tmp_path / "bench.jsonl"
        with pytest.raises(DeviceLostError):
            run(paths, rounds=2, output=output, devices=[Notebook(lost_at=4)])
        device = Notebook()
        made = run(paths, rounds=2, output=output, resume=True, devices=[device])
        assert device.files == ["b"]
        assert [(each.subject.file, each.round) for each in made] == [
            ("a.timed", 1),
            ("b.timed", 1),
            ("a.timed", 2),
            ("b.timed", 2),
        ]
        assert read_measurements(output) == made
        assert len({each.run for each in made}) == 1

    def test_what_is_complete_is_left_alone(self, tmp_path: Path) -> None:
        paths, output = [write_artifact(tmp_path)], tmp_path / "bench.jsonl"
        made = run(paths, rounds=2, output=output, devices=[Notebook()])
        device = Notebook()
        assert run(paths, rounds=2, output=output, resume=True, devices=[device]) == made
        assert not device.jobs

    def test_a_line_that_was_cut_short_is_measured_again(self, tmp_path: Path) -> None:
        paths, output = [write_artifact(tmp_path)], tmp_path / "bench.jsonl"
        run(paths, rounds=3, output=output, devices=[Notebook()])
        output.write_bytes(output.read_bytes()[:-40])
        made = run(paths, rounds=3, output=output, resume=True, devices=[Notebook()])
        assert [each.round for each in made] == [1, 2, 3]

    def test_without_it_a_new_run_begins(self, tmp_path: Path) -> None:
        paths, output = [write_artifact(tmp_path)], tmp_path / "bench.jsonl"
        for _ in range(2):
            run(paths, rounds=1, output=output, devices=[Notebook()])
        first, second = read_measurements(output)
        assert first.run != second.run

    def test_an_artifact_that_changed_is_measured_anew(self, tmp_path: Path) -> None:
        output = tmp_path / "bench.jsonl"
        run([write_artifact(tmp_path, run_ms=1)], rounds=1, output=output, devices=[Notebook()])
        device = Notebook()
        run([write_artifact(tmp_path, run_ms=2)], rounds=1, output=output, resume=True, devices=[device])
        assert device.files == ["a"]

    def test_each_device_and_number_of_threads_has_a_last_run_of_its_own(self, tmp_path: Path) -> None:
        paths, output = [write_artifact(tmp_path)], tmp_path / "bench.jsonl"
        for threads in (1, 2):
            for name in ("one", "two"):
                run(paths, rounds=1, threads=threads, output=output, devices=[Notebook(name)])
        devices = [Notebook("one"), Notebook("two")]
        made = run(paths, rounds=1, threads=1, output=output, resume=True, devices=devices)
        assert [each.device for each in made] == ["one", "two"]
        assert not any(device.jobs for device in devices)


class TestSeveralDevices:
    def test_work_side_by_side_into_one_file(self, tmp_path: Path) -> None:
        output, both = tmp_path / "bench.jsonl", threading.Barrier(2, timeout=20)

        class Meeting(Notebook):
            def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
                both.wait()  # would time out if one came after the other
                return super().measure(job)

        made = run(
            [write_artifact(tmp_path)], rounds=3, output=output, devices=[Meeting("one"), Meeting("two")]
        )
        assert [each.device for each in made] == ["one"] * 3 + ["two"] * 3
        assert len(read_measurements(output)) == 6

    def test_one_that_is_lost_does_not_cost_the_others(self, tmp_path: Path) -> None:
        output = tmp_path / "bench.jsonl"
        lost, found = Notebook("lost", lost_at=1), Notebook("found")
        with pytest.raises(DeviceLostError, match="cable"):
            run([write_artifact(tmp_path)], rounds=3, output=output, devices=[lost, found])
        assert [each.device for each in read_measurements(output)] == ["found"] * 3
