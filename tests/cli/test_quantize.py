"""``quantize``: int8 files, and ``--analyze`` as a table, as JSON and as a drawing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mobilevit_deploy.demo.shapes import generate

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(generate(number, split="train").image).save(folder / f"{number}.png")
    return folder


def test_analyze_shows_every_block_and_draws_it(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli("quantize", "--analyze", "--image-size", "64", "--calibration", photos, "--plot", "plot.svg")
    assert done.returncode == 0, done.stderr
    for path in ("conv_stem", "encoder.layer.3.transformer.layer.0.attention", "classifier"):
        assert path in done.stdout
    drawing = (tmp_path / "plot.svg").read_text()
    assert drawing.lstrip().startswith("<?xml")
    assert "</svg>" in drawing
    assert not (tmp_path / "exports").exists()


def test_json_names_blocks_in_the_order_in_which_to_keep_them(cli: Cli, photos: Path) -> None:
    done = cli("quantize", "--analyze", "--image-size", "64", "--calibration", photos, "--json")
    found = json.loads(done.stdout)
    paths = [block["path"] for block in found["blocks"]]
    assert found["pictures"] == 3
    assert found["float_first"]
    assert set(found["float_first"]) <= set(paths)
    assert sum(block["parameters"] for block in found["blocks"]) < 1_272_024


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "x.svg"], "Add --analyze"),
        (["--analyze", "--image-size", "64", "--plot", "x.doc"], "no picture that can be drawn"),
        (["--target", "nowhere"], "no target 'nowhere'"),
    ],
)
def test_wrong_usage_exits_with_2_before_any_work(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("quantize", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "calibrate" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calibration", "."], "--calibration is for int8 and palettes"),
        (["--evaluation", "."], "--evaluation is for precisions of 8 bits"),
        (["-p", "int8", "--evaluation", ".", "--no-gate"], "contradict each other"),
    ],
)
def test_pictures_that_nothing_would_look_at_are_refused(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("export", "--target", "toy", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_analyze_it_exports_int8(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli("quantize", "--target", "toy", "--image-size", "192", "--calibration", photos, "--json")
    assert done.returncode == 0, done.stderr
    (made,) = json.loads(done.stdout)["exports"]
    assert made["precision"] == "int8"
    assert made["manifest"]["accuracy"]["verdict"] == "pass"
    assert made["manifest"]["accuracy"]["evaluation"]["count"] == 480
