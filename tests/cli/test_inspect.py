"""``inspect``: which operator runs where, from the file alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.artifact import manifest_path
from mobilevit_deploy.pipeline import Exported

Cli = Callable[..., subprocess.CompletedProcess[str]]
Export = Callable[..., Exported]


def test_tells_where_operators_run_why_not_and_what_they_cost(
    cli: Cli, artifact_copy: Callable[..., Path]
) -> None:
    path = artifact_copy("toy")
    manifest_path(path).unlink()
    done = cli("inspect", path)
    assert done.returncode == 0, done.stderr
    for said in (
        "torch leaves 1 aten.to.dtype",
        "rule     Numbers keep their type.",
        "uint8[1, 96, 96, 3] -> float32[1, 96, 96, 3]",
        "do       Feed float32.",
        "source   https://docs.pytorch.org/docs/stable/export.html",
        "says torch itself",
        "parameters",
        "multiply-adds",
        "at their peak",
    ):
        assert said in done.stdout
    assert path.name in "".join(done.stdout.split())  # whole, over as many lines as it takes


def test_json_holds_every_operator_that_breaks_a_rule(cli: Cli, exported: Export) -> None:
    done = cli("inspect", exported("toy").path, "--json")
    document = json.loads(done.stdout)
    assert document["target"] == "toy"
    (delegation,) = document["delegations"]
    assert delegation["accelerator"] == "torch"
    assert delegation["total"] == sum(document["operators"].values())
    (finding,) = delegation["findings"]
    assert len(finding["operators"]) == delegation["total"] - delegation["taken"] == 1


@pytest.mark.parametrize(("kind", "code"), [("image", 1), ("tensor", 0)])
def test_full_delegation_can_be_required(cli: Cli, exported: Export, kind: str, code: int) -> None:
    done = cli("inspect", exported("toy", input=kind).path, "--require-full-delegation")
    assert done.returncode == code
    assert "torch" in done.stdout


def test_unknown_accelerator_names_those_that_there_are(cli: Cli, exported: Export) -> None:
    done = cli("inspect", exported("toy").path, "--accelerator", "npu")
    assert done.returncode == 2
    assert "For this file there are: torch." in done.stderr


@pytest.mark.parametrize("name", ["holiday.jpg", "absent.onnx", "damaged.onnx"])
def test_what_is_no_model_file(cli: Cli, tmp_path: Path, name: str) -> None:
    for present in ("holiday.jpg", "damaged.onnx"):
        (tmp_path / present).write_bytes(b"no model")
    done = cli("inspect", name)
    assert done.returncode == 3
    assert name in done.stderr
    assert "Traceback" not in done.stderr
