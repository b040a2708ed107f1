"""``targets``: what can be exported here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_every_registered_target_is_listed_with_its_precisions(cli: Cli) -> None:
    done = cli("targets", "--json")
    assert done.returncode == 0, done.stderr
    found = {target["name"]: target for target in json.loads(done.stdout)["targets"]}
    assert set(found) >= {"coreml", "executorch", "onnx", "tflite", "toy"}
    assert found["coreml"]["precisions"] == [
        "fp32",
        "fp16",
        "int8",
        "int8-weights",
        "palette6",
        "palette4",
    ]
    assert all(target["usable"] or target["remedy"] for target in found.values())


def test_table_says_what_runs_the_file_here(cli: Cli) -> None:
    done = cli("targets")
    assert done.returncode == 0
    assert ".mlpackage" in done.stdout
