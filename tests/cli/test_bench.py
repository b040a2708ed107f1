"""``bench``: times what is proven, says why it does not time the rest, and keeps every sample."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import on_path
from fakes.timed_artifacts import write_artifact
from mobilevit_deploy.artifact import manifest_path
from mobilevit_deploy.bench.records import read_measurements

Cli = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--rounds", "2", "--samples", "3", "--precision", "off")


def test_every_sample_is_kept_and_summed_up(
    cli: Cli, artifact_copy: Callable[..., Path], tmp_path: Path
) -> None:
    path = artifact_copy("toy")
    done = cli("bench", path, *QUICK, "--results", "raw.jsonl")
    assert done.returncode == 0, done.stderr
    assert "toy fp32" in done.stdout
    measured = read_measurements(tmp_path / "raw.jsonl")
    *timed, weighed = measured
    assert [measurement.round for measurement in timed] == [1, 2]
    assert all(measurement.timing and len(measurement.timing.samples_ms) >= 3 for measurement in timed)
    assert weighed.outcome.status == "weighed"


def test_json_holds_the_measurements(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    done = cli(
        "bench", artifact_copy("toy"), "--rounds", "1", "--samples", "2", "--precision", "off", "--json"
    )
    measurement, _ = json.loads(done.stdout)["measurements"]
    assert measurement["outcome"]["status"] == "timed"
    assert measurement["context"] == "host"


def test_artifact_that_failed_parity_is_refused(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    manifest = json.loads(manifest_path(path).read_text())
    manifest["parity"] = {**manifest["parity"], "verdict": "fail", "reasons": ["it is wrong"]}
    manifest_path(path).write_text(json.dumps(manifest))
    done = cli("bench", path, *QUICK)
    assert done.returncode == 1
    assert "once it has passed its checks" in " ".join(done.stdout.split())
    assert "it is wrong" in " ".join(done.stdout.split())


def test_interpreter_is_not_timed(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    """Off a Mac, Core ML packages are run by an interpreter; its time would be nobody's."""
    import platform

    if platform.system() == "Darwin":
        pytest.skip("on a Mac, Core ML itself runs the package")
    done = cli("bench", artifact_copy("coreml"), *QUICK)
    assert done.returncode == 0, done.stderr
    assert "its speed says nothing about any device" in " ".join(done.stdout.split())


def test_changed_artifact_is_an_error(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    path.write_bytes(path.read_bytes() + b"!")
    done = cli("bench", path, *QUICK)
    assert done.returncode == 3
    assert "changed after export" in done.stderr


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact whose runtime is a clock: what is tested is the command, not a model."""
    on_path(monkeypatch, Path(__file__).parents[1] / "fakes" / "timed_target")
    return write_artifact(tmp_path, run_ms=1)


def test_resume_goes_on_where_the_last_run_stopped(cli: Cli, clock: Path, tmp_path: Path) -> None:
    cli("bench", clock, *QUICK, "--no-memory", "--results", "raw.jsonl")
    lines = (tmp_path / "raw.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "raw.jsonl").write_bytes(lines[0] + lines[1][:50])  # as a power cut leaves it
    done = cli("bench", clock, *QUICK, "--no-memory", "--results", "raw.jsonl", "--resume")
    assert done.returncode == 0, done.stderr
    measured = read_measurements(tmp_path / "raw.jsonl")
    assert [measurement.round for measurement in measured] == [1, 2]
    assert len({measurement.run for measurement in measured}) == 1


def test_a_baseline_makes_it_a_gate(cli: Cli, clock: Path, tmp_path: Path) -> None:
    cli("bench", clock, *QUICK, "--results", "base.jsonl")
    # Every sample of the baseline a hundredth of what it was: nothing is as fast as that.
    lines = [json.loads(line) for line in (tmp_path / "base.jsonl").read_text().splitlines()]
    for line in lines:
        if line["outcome"]["status"] == "timed":
            line["outcome"]["samples_ms"] = [ms / 100 for ms in line["outcome"]["samples_ms"]]
    base = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (tmp_path / "base.jsonl").write_text(base)
    gate = ("--baseline", "base.jsonl", "--fail-if-slower", "50%", "--junit", "junit.xml")
    done = cli("bench", clock, *QUICK, "--rounds", "4", *gate, "--results", "new.jsonl")
    assert done.returncode == 1, done.stderr
    assert "slower" in done.stdout
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "junit.xml").getroot()}
    assert suites["parity"].get("failures") == "0"
    assert suites["latency"].get("failures") == "1"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--fail-if-slower", "5%"), "Add --baseline FILE"),
        (("--device", "adb1"), "There is no device 'adb1'"),
        (("--precision", "very"), "'very' is no share"),
        (("--cores", "big"), "'big' names no cores of this machine"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    cli: Cli, clock: Path, options: tuple[str, ...], told: str
) -> None:
    done = cli("bench", clock, *options)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
