"""Measuring here: a real child process for each measurement, and what may go wrong in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fakes.timed_artifacts import write_artifact
from mobilevit_deploy.artifact import read_manifest
from mobilevit_deploy.bench.measurement import Counted, Timing, Untimed, Weighed
from mobilevit_deploy.devices.host import HostRunner
from mobilevit_deploy.devices.runner import Job, Work
from mobilevit_deploy.errors import SessionError, UsageError


def job(path: Path, *, samples: int = 5, threads: int = 1, work: Work = "time", cores: str = "") -> Job:
    return Job(
        path=path,
        manifest=read_manifest(path),
        work=work,
        samples=samples,
        threads=threads,
        cores=cores,
    )


def measure(
    path: Path, *, samples: int = 5, threads: int = 1, **options: float
) -> Timing | Weighed | Counted | Untimed:
    return HostRunner(**options).measure(job(path, samples=samples, threads=threads))


def test_what_the_clock_says_is_what_the_runtime_did(tmp_path: Path) -> None:
    timing = measure(write_artifact(tmp_path, run_ms=4, first_ms=30, load_ms=60), samples=7)
    assert isinstance(timing, Timing)
    assert timing.load_ms >= 60
    assert timing.first_ms >= 34
    assert len(timing.samples_ms) == 7
    assert all(sample >= 4 for sample in (*timing.warmup_ms, *timing.samples_ms))
    # Other programs may have slowed single inferences down, hardly all of them.
    assert min(timing.samples_ms) < 30
    assert timing.warmup_ms


def test_a_time_comes_with_its_engine_machine_and_conditions(tmp_path: Path) -> None:
    timing = measure(write_artifact(tmp_path), threads=2)
    assert isinstance(timing, Timing)
    assert timing.engine == "clock 1.0 with 2 threads"
    assert timing.machine.python == sys.version.split()[0]
    assert "numpy" in timing.machine.libraries
    assert timing.before.memory_available_bytes > 0
    assert 0 <= timing.after.busy <= 1


def test_an_interpreter_that_only_proves_parity_gives_no_number(tmp_path: Path) -> None:
    untimed = measure(write_artifact(tmp_path, measurable=False))
    assert isinstance(untimed, Untimed)
    assert untimed.status == "not-timed"
    assert "says nothing about any device" in untimed.reason


def test_a_target_that_cannot_run_here_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(write_artifact(tmp_path))
    assert HostRunner().cannot_run(manifest) is None
    monkeypatch.setenv("TIMED_TARGET", "unusable")
    assert HostRunner().cannot_run(manifest) == "there is no clock. Buy a clock."


def test_what_a_runtime_prints_gets_in_nobodys_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert isinstance(measure(write_artifact(tmp_path, prints='{"status": "timed"}')), Timing)
    assert capfd.readouterr() == ("", "")


def test_a_runtime_that_refuses_the_file_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="bad magic number") as refusal:
        measure(write_artifact(tmp_path, refuses="bad magic number"))
    assert refusal.value.remedy == "Export it again."


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_names_target_file_and_signal(tmp_path: Path, number: signal.Signals) -> None:
    with pytest.raises(SessionError, match=rf"a\.timed \(timed\) had its process killed by {number.name}"):
        measure(write_artifact(tmp_path, signal=number))


def test_an_unforeseen_error_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"exit code 1 .* RuntimeError: op 17 is unknown"):
        measure(write_artifact(tmp_path, raises="op 17 is unknown"))


def test_a_session_that_hangs_is_stopped(tmp_path: Path) -> None:
    begin, others = time.monotonic(), psutil.Process().children()
    with pytest.raises(SessionError, match=r"not measured within 3 s"):
        measure(write_artifact(tmp_path, hangs=str(tmp_path / "hanging")), timeout_s=3)
    assert time.monotonic() - begin < 20
    assert psutil.Process().children() == others


def test_modules_in_the_working_folder_are_not_picked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pydantic.py").write_text("raise SystemExit('picked up')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert isinstance(measure(write_artifact(tmp_path)), Timing)


def test_ctrl_c_ends_the_process_that_measures(tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    path = write_artifact(tmp_path, hangs=str(hanging))
    script = f"from mobilevit_deploy import benchmark; benchmark([{str(path)!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True
    ) as parent:
        _wait_for(hanging)
        (child,) = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGINT)
        assert b"KeyboardInterrupt" in parent.communicate(timeout=20)[1]
    assert not child.is_running()


def _wait_for(file: Path) -> None:
    until = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < until, f"{file} was never made"
        time.sleep(0.05)


def test_memory_is_looked_at_in_a_pass_of_its_own(tmp_path: Path) -> None:
    weighed = HostRunner().measure(job(write_artifact(tmp_path, load_bytes=60_000_000), work="memory"))
    assert isinstance(weighed, Weighed)
    assert 60_000_000 <= weighed.peak_bytes - weighed.before_bytes < 120_000_000
    assert weighed.pss_bytes is None or 60_000_000 < weighed.pss_bytes <= weighed.peak_bytes


def test_what_the_artifact_computes_comes_back_whole(tmp_path: Path) -> None:
    path = write_artifact(tmp_path, scale=3.0)
    inputs = [np.full((1, 3, 32, 48), value, np.float32) for value in (1.0, 2.0)]
    engine, outputs = HostRunner().outputs(job(path), inputs)
    assert engine.startswith("clock 1.0")
    assert [output.tolist() for (output,) in outputs] == [[[3.0] * 3], [[6.0] * 3]]


def test_the_proof_of_the_export_holds_until_a_library_changes(tmp_path: Path) -> None:
    manifest = read_manifest(write_artifact(tmp_path))
    assert HostRunner().proof_holds(manifest.model_copy(update={"libraries": {"numpy": np.__version__}}))
    assert not HostRunner().proof_holds(manifest.model_copy(update={"libraries": {"numpy": "0.1"}}))


def test_a_process_stays_on_the_cores_that_were_asked_for(tmp_path: Path) -> None:
    path = write_artifact(tmp_path, tells_cores=True)
    timing = HostRunner().measure(job(path, cores="1"))
    assert isinstance(timing, Timing)
    assert timing.cores == "1"
    assert timing.engine.endswith("on cores {0}")


@pytest.mark.parametrize("cores", ["big", "0", "zz", "100000000000000000"])
def test_cores_that_are_not_there_are_refused(tmp_path: Path, cores: str) -> None:
    with pytest.raises(UsageError, match="names no cores of this machine"):
        HostRunner().measure(job(write_artifact(tmp_path), cores=cores))
