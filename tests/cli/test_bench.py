"""``bench``: times what is proven, says why it does not time the rest, and keeps every sample."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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
