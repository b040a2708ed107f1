"""``evaluate``, run as users run it, on a quick target."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.artifact import manifest_path
from mobilevit_deploy.pipeline import Exported

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(exported: Callable[..., Exported], tmp_path: Path) -> Path:
    """The toy's artifact where the command looks by default."""
    made = exported("toy")
    (tmp_path / "exports").mkdir()
    for path in (made.path, manifest_path(made.path)):
        shutil.copy(path, tmp_path / "exports")
    return tmp_path / "exports"


def test_everything_in_the_folder_is_measured_on_the_bundled_pictures(cli: Cli, folder: Path) -> None:
    done = cli("evaluate", "--count", "24")
    assert done.returncode == 0, done.stderr
    assert "top-1" in done.stdout
    assert "100%" in done.stdout
    assert "24 of held-out generated pictures" in done.stdout


def test_json_has_every_figure(cli: Cli, folder: Path) -> None:
    done = cli("evaluate", "--count", "12", "--json")
    (found,) = json.loads(done.stdout)["artifacts"]
    evaluation = found["accuracy"]["evaluation"]
    assert found["accuracy"]["verdict"] == "pass"
    assert evaluation["count"] == 12
    assert evaluation["agreement"] == 1
    assert evaluation["score"]["reference"] == evaluation["score"]["artifact"]


def test_a_file_of_another_model_fails_with_exit_code_1(cli: Cli, folder: Path, tmp_path: Path) -> None:
    import torch

    from mobilevit_deploy.reference import load_model

    other = load_model()
    torch.nn.init.xavier_uniform_(other.model.classifier.weight, generator=torch.Generator().manual_seed(0))
    other.model.save_pretrained(tmp_path / "other")
    other.preprocess.to_processor().save_pretrained(tmp_path / "other")
    done = cli("evaluate", "--count", "12", "--model", tmp_path / "other")
    assert done.returncode == 1
    assert "are needed" in done.stdout


def test_a_folder_that_is_not_laid_out_is_one_clear_error(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labelled" / "dragons").mkdir(parents=True)
    done = cli("evaluate", "--pictures", tmp_path / "labelled")
    assert done.returncode == 3
    assert "'dragons' is no class" in done.stderr
    assert "Next:" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_what_a_folder_must_look_like(cli: Cli) -> None:
    text = cli("evaluate", "--help").stdout
    assert "subfolder" in text
    assert "Examples" in text
