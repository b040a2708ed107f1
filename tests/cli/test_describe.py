"""``describe``: what a file is, from the file alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.artifact import manifest_path

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_tells_how_to_feed_the_file_and_what_it_gives(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    manifest_path(path).unlink()
    done = cli("describe", path)
    assert done.returncode == 0, done.stderr
    for said in (
        "image-classification",
        "image: uint8 [1, 96, 96, 3] (NHWC)",
        "Scale its shorter edge",
        "circle",
    ):
        assert said in done.stdout
    assert path.name in "".join(done.stdout.split())  # whole, over as many lines as it takes


def test_json_holds_the_card(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    done = cli("describe", artifact_copy("toy"), "--json")
    document = json.loads(done.stdout)
    assert document["target"] == "toy"
    assert document["card"]["preprocessing"]["channel_order"] == "RGB"
    assert document["inputs"][0]["dtype"] == "uint8"
    assert document["warnings"] == []


def test_manifest_that_says_something_else_is_a_warning_and_exit_code_1(
    cli: Cli, artifact_copy: Callable[..., Path]
) -> None:
    path = artifact_copy("toy")
    note = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps({**note, "task": "semantic-segmentation"}))
    done = cli("describe", path)
    assert done.returncode == 1
    assert "disagree about the task" in done.stdout


@pytest.mark.parametrize("name", ["holiday.jpg", "absent.onnx"])
def test_what_is_no_model_file(cli: Cli, tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"no model")
    done = cli("describe", name)
    assert done.returncode == 3
    assert name in done.stderr
    assert "Traceback" not in done.stderr
