"""``verify``: unchanged, and still equal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.artifact import manifest_path
from mobilevit_deploy.demo import demo_checkpoint

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_good_artifact_passes(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    done = cli("verify", path, "--json")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["artifacts"]
    assert record["parity"]["verdict"] == "pass"


def test_folder_stands_for_all_its_artifacts(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    done = cli("verify", path.parent)
    assert done.returncode == 0, done.stderr
    assert path.name in done.stdout
    assert "best class agrees on 100% of 23 pictures" in done.stdout


def test_changed_artifact_is_an_error(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    path.write_bytes(path.read_bytes() + b"!")
    done = cli("verify", path)
    assert done.returncode == 3
    assert "changed after export" in done.stderr


def test_manifest_of_a_newer_schema_says_upgrade(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    note = manifest_path(path)
    note.write_text(json.dumps({**json.loads(note.read_text()), "schema_version": 99}))
    done = cli("verify", path)
    assert done.returncode == 3
    assert "schema version 99" in done.stderr


def test_another_models_weights_do_not_pass(
    cli: Cli, tmp_path: Path, artifact_copy: Callable[..., Path]
) -> None:
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    other.mkdir()
    for file in demo_checkpoint().iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tensors = load_file(other / "model.safetensors")
    tensors["classifier.bias"][3] += 0.01
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    done = cli("verify", artifact_copy("toy"), "--model", other)
    assert done.returncode == 1
    assert "does not hold the weights" in done.stdout
    assert "exceeds" in done.stdout


def test_empty_folder_says_what_to_do(cli: Cli, tmp_path: Path) -> None:
    done = cli("verify", tmp_path)
    assert done.returncode == 2
    assert "export --target all" in done.stderr
