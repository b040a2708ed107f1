"""The same sweep on a Ray cluster: a local one of two processors, whose node measures."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import on_path
from fakes import sweeps
from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.bench.environment import machine
from mobilevit_deploy.bench.schedule import run
from mobilevit_deploy.errors import CheckpointError, DeviceError, ExportError
from mobilevit_deploy.parallel import Job
from mobilevit_deploy.reference import load_model

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'mobilevit-deploy[ray]'")

from mobilevit_deploy.sweep.ray import Cluster  # noqa: E402 - it is skipped without Ray

FAKES = Path(__file__).parents[1] / "fakes"


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for folder in (FAKES / "timed_target", FAKES.parent):
            on_path(patch, folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            "local",
            num_cpus=2,
            resources={"quiet": 1},
            include_dashboard=False,
            object_store_memory=100_000_000,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield
        ray.shutdown()


@pytest.fixture
def cluster(_cluster: None) -> Cluster:
    return Cluster("quiet")


def test_artifacts_come_back_and_an_error_stops_nothing(cluster: Cluster, tmp_path: Path) -> None:
    common = {"target": "timed", "output": tmp_path}
    jobs = [
        Job("good", sweeps.export, common),
        Job("bad", sweeps.refuse, common),
        Job("crash", sweeps.crash, common),
    ]
    events: list[tuple[str, str]] = []
    outcomes = cluster.export(jobs, lambda key, stage: events.append((key, stage)))
    exported = outcomes["good"].result
    assert exported.path.parent == tmp_path
    assert open_artifact(exported.path)[1] == exported.manifest
    assert isinstance(outcomes["bad"].error, CheckpointError)
    assert isinstance(outcomes["crash"].error, ExportError)
    assert ("good", "done") in events
    assert ("bad", "failed") in events


def test_an_interruption_ends_what_runs_on_the_nodes(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "left"
    folder.mkdir()
    common = {"target": "timed", "output": tmp_path, "folder": folder}
    jobs = [Job("slow", sweeps.linger, common), Job("quick", sweeps.wait_for_lingering, common)]

    def interrupt(key: str, stage: str) -> None:
        if (key, stage) == ("quick", "done"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.export(jobs, interrupt)
    assert list(folder.iterdir()) == []


def test_a_node_measures_and_says_which_machine_it_is(cluster: Cluster, tmp_path: Path) -> None:
    path = sweeps.write_made(tmp_path, load_model().resized((64, 64)))
    (node,) = cluster.open_devices("host")
    measured = run([path], rounds=2, samples=3, devices=[node], output=tmp_path / "measurements.jsonl")
    assert [each.outcome.status for each in measured] == ["timed", "timed", "weighed"]
    assert {each.device for each in measured} == {f"host:{socket.gethostname()}"}
    timings = [each.timing for each in measured if each.timing]
    assert {each.machine.cpu for each in timings} == {machine().cpu}


@pytest.mark.usefixtures("_cluster")
def test_without_a_label_this_machine_measures() -> None:
    assert [device.name for device in Cluster(None).open_devices("host")] == ["host"]


@pytest.mark.usefixtures("_cluster")
def test_a_label_that_no_node_has_says_how_to_give_it() -> None:
    with pytest.raises(DeviceError, match="No node") as caught:
        Cluster("absent").open_devices("host")
    assert "ray start --resources" in caught.value.remedy
