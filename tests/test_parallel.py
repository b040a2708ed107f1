"""Jobs in processes: results, errors, crashes, interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conftest import on_path
from mobilevit_deploy.errors import CheckpointError, ExportError
from mobilevit_deploy.parallel import Job, run, run_one


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., object]]:
    """Functions that child processes can import by name."""
    on_path(monkeypatch, Path(__file__).parent / "fakes")
    import parallel_jobs

    return vars(parallel_jobs)


def quiet(key: str, stage: str) -> None:
    """No progress wanted."""


def test_results_come_back_by_key_with_stages_and_events(jobs: dict[str, Callable[..., object]]) -> None:
    events: list[tuple[str, str]] = []
    outcomes = run(
        [Job("a", jobs["add"], {"x": 1, "y": 2}), Job("b", jobs["add"], {"x": 3, "y": 4})],
        on_event=lambda key, stage: events.append((key, stage)),
    )
    assert {key: outcome.result for key, outcome in outcomes.items()} == {"a": 3, "b": 7}
    assert set(outcomes["a"].stages) == {"start", "adding"}
    assert [stage for key, stage in events if key == "a"] == ["adding", "done"]


def test_error_arrives_whole_and_does_not_stop_the_others(jobs: dict[str, Callable[..., object]]) -> None:
    outcomes = run(
        [Job("bad", jobs["refuse"], {}), Job("good", jobs["add"], {"x": 1, "y": 1})], on_event=quiet
    )
    error = outcomes["bad"].error
    assert isinstance(error, CheckpointError)
    assert (error.problem, error.remedy) == ("It is broken.", "Mend it.")
    assert outcomes["good"].result == 2


def test_what_a_job_prints_stays_out_of_the_terminal(
    jobs: dict[str, Callable[..., object]], capfd: pytest.CaptureFixture[str]
) -> None:
    run_one(Job("loud", jobs["shout"], {}), on_event=quiet)
    assert capfd.readouterr() == ("", "")


def test_crash_by_a_signal_names_the_signal_the_stage_and_the_last_words(
    jobs: dict[str, Callable[..., object]],
) -> None:
    with pytest.raises(ExportError, match=r"died of SIGSEGV, in stage 'crashing'(?s:.*)last words") as caught:
        run_one(Job("crash", jobs["crash"], {}), on_event=quiet)
    assert "doctor" in caught.value.remedy


def test_unexpected_exception_shows_its_traceback(jobs: dict[str, Callable[..., object]]) -> None:
    with pytest.raises(ExportError, match="ZeroDivisionError"):
        run_one(Job("bug", jobs["divide"], {}), on_event=quiet)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_the_processes_and_removes_their_files(
    jobs: dict[str, Callable[..., object]], tmp_path: Path, sent: signal.Signals
) -> None:
    script = (
        "import signal, sys\n"
        "from parallel_jobs import linger\n"
        "from mobilevit_deploy.parallel import Job, run\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Job(key, linger, {'folder': sys.argv[1]}) for key in 'ab']\n"
        "    run(jobs, on_event=lambda key, stage: print(stage, flush=True))\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script)
    work = tmp_path / "work"
    work.mkdir()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(program), str(work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in "ab"] == ["lingering"] * 2
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(list(work.iterdir())) == 2
    process.send_signal(sent)
    assert process.wait(timeout=20) != 0
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert list(work.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_workers_bound_how_many_run_at_once(jobs: dict[str, Callable[..., object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        counts = run(
            [Job(str(i), jobs["count"], {"folder": folder}) for i in range(4)], on_event=quiet, workers=2
        )
    assert max(outcome.result for outcome in counts.values()) <= 2


def test_job_that_takes_no_time_is_not_lost(jobs: dict[str, Callable[..., object]]) -> None:
    started = time.monotonic()
    assert run_one(Job("a", jobs["add"], {"x": 0, "y": 0}), on_event=quiet) == 0
    assert time.monotonic() - started < 60
