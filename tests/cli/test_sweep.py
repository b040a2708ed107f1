"""``sweep``, run as users run it: from nothing, interrupted, and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import executable, on_path
from fakes.sweeps import write_made
from mobilevit_deploy.bench.records import read_measurements
from mobilevit_deploy.reference import Reference

Cli = Callable[..., subprocess.CompletedProcess[str]]
SWEEP = (
    'targets = ["timed"]\nprecisions = ["fp32", "int8"]\nimage_sizes = [64]\nthreads = [1, 2]\n'
    'output = "out"\n'
    '[bench]\nrounds = 2\nsamples = 3\nprecision = "off"\n'
)


@pytest.fixture(autouse=True)
def _timed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, Path(__file__).parents[1] / "fakes" / "timed_target")


@pytest.fixture
def file(tmp_path: Path, reference: Reference) -> Path:
    """A sweep whose artifact is there already."""
    write_made(tmp_path / "out", reference.resized((64, 64)))
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    return path


def test_from_nothing_to_the_report_and_again_without_work(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(
        SWEEP.replace("timed", "toy")
        .replace('"int8"', '"fp16"')
        .replace("[1, 2]", "[1]")
        .replace("rounds = 2", "rounds = 1")
    )
    done = cli("sweep", "sweep.toml")
    assert done.returncode == 0, done.stderr
    assert "Skipped 1 combination: toy has no fp16" in done.stderr
    assert "Exports: 1 to make, 0 are there." in done.stderr
    assert "1 of 1 artifact equals the reference" in done.stdout
    assert str(tmp_path / "out") in done.stdout.replace("\n", "")
    again = cli("sweep", "sweep.toml")
    assert again.returncode == 0, again.stderr
    assert "Exports: 0 to make, 1 are there." in again.stderr
    assert "Measuring" not in again.stderr
    assert again.stdout == done.stdout
    assert len(read_measurements(tmp_path / "out" / "measurements.jsonl")) == 2


def test_ctrl_c_costs_the_measurement_in_flight_and_the_same_command_goes_on(
    cli: Cli, file: Path, tmp_path: Path
) -> None:
    file.write_text(SWEEP.replace("[1, 2]", "[1]"))
    process = subprocess.Popen(
        [executable(), "sweep", str(file)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "round 2" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    assert "Traceback" not in process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert 1 <= len(read_measurements(tmp_path / "out" / "measurements.jsonl")) < 3
    done = cli("sweep", file)
    assert done.returncode == 0, done.stderr
    found = read_measurements(tmp_path / "out" / "measurements.jsonl")
    assert sorted((each.outcome.status, each.round) for each in found) == [
        ("timed", 1),
        ("timed", 2),
        ("weighed", 1),
    ]


def test_dry_run_tells_and_does_nothing(cli: Cli, file: Path, tmp_path: Path) -> None:
    file.write_text(SWEEP.replace("[64]", "[64, 96]"))
    done = cli("sweep", file, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["demo", "timed", "fp32", "64", "there", "0", "of", "2"] in lines
    assert ["demo", "timed", "fp32", "96", "to", "make", "0", "of", "2"] in lines
    assert "Skipped 2 combinations: timed has no int8" in done.stderr
    assert not (tmp_path / "out" / "measurements.jsonl").exists()
    document = json.loads(cli("sweep", file, "--dry-run", "--json").stdout)
    assert [each["state"] for each in document["artifacts"]] == ["there", "to make"]
    assert document["skipped"] == {"timed has no int8": 2}
    assert [step["threads"] for step in document["passes"]] == [1, 2]


def test_a_model_that_cannot_be_read_stops_nothing_and_exits_with_3(cli: Cli, file: Path) -> None:
    file.write_text('models = ["demo", "./absent"]\n' + SWEEP.replace("[1, 2]", "[1]"))
    done = cli("sweep", file, "--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert [each["state"] for each in document["artifacts"]] == ["there", "error"]
    assert document["artifacts"][1]["error"]["stage"] == "checkpoint"
    assert [each["outcome"]["status"] for each in document["measurements"]] == ["timed", "timed", "weighed"]


def test_an_error_that_many_artifacts_share_is_said_once(cli: Cli, file: Path) -> None:
    file.write_text('models = ["./absent"]\n' + SWEEP.replace("[64]", "[64, 96, 128]"))
    done = cli("sweep", file)
    assert done.returncode == 3
    assert done.stderr.count("There is no folder") == 1
    assert "and 2 more" in done.stderr
    assert done.stdout == ""


def test_the_example_is_a_file_to_begin_with(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(cli("sweep", "--example").stdout)
    done = cli("sweep", "sweep.toml", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["artifacts"]) == 4
    assert not (tmp_path / "sweep").exists()


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed: see tests/sweep/test_ray.py")
def test_ray_that_is_not_installed_is_told_with_the_command_that_installs_it(cli: Cli, file: Path) -> None:
    done = cli("sweep", file, "--ray", "auto")
    assert done.returncode == 3
    assert "pip install 'mobilevit-deploy[ray]'" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("thread = [1]", "Did you mean 'threads'?"), ("threads = [", "is no TOML"), (None, "cannot be read")],
)
def test_a_file_that_is_wrong_exits_with_2(cli: Cli, tmp_path: Path, text: str | None, said: str) -> None:
    if text:
        (tmp_path / "sweep.toml").write_text(text)
    done = cli("sweep", "sweep.toml")
    assert done.returncode == 2
    assert said in done.stderr
