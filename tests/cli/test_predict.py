"""``predict``: one picture, reference and artifact side by side."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mobilevit_deploy.demo import parity_photographs
from mobilevit_deploy.demo.shapes import CLASSES, generate
from mobilevit_deploy.pipeline import Exported

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def triangle(tmp_path: Path) -> Path:
    label = CLASSES.index("triangle")
    path = tmp_path / "a triangle; $(touch executed).png"
    Image.fromarray(generate(label + 5 * len(CLASSES), split="heldout").image).save(path)
    return path


def test_reference_alone_names_the_shape(cli: Cli, triangle: Path, tmp_path: Path) -> None:
    done = cli("predict", triangle, "--json", "--top", "2")
    assert done.returncode == 0, done.stderr
    ranked = json.loads(done.stdout)["reference"]
    assert ranked[0]["label"] == "triangle"
    assert ranked[0]["probability"] > ranked[1]["probability"]
    assert len(ranked) == 2
    assert not (tmp_path / "executed").exists()


def test_artifact_stands_beside_the_reference(
    cli: Cli, artifact_copy: Callable[..., Path], triangle: Path
) -> None:
    done = cli("predict", triangle, "--artifact", artifact_copy("toy"), "--json")
    assert done.returncode == 0, done.stderr
    both = json.loads(done.stdout)
    assert [row["label"] for row in both["artifact"]] == [row["label"] for row in both["reference"]]
    assert both["artifact"][0]["probability"] == pytest.approx(both["reference"][0]["probability"], abs=1e-5)


def test_target_uses_the_exported_artifact_or_exports_it_first(cli: Cli, tmp_path: Path) -> None:
    photograph = parity_photographs()[0]
    first = cli("predict", photograph, "--target", "toy", "--output", "out")
    assert first.returncode == 0, first.stderr
    assert "convert" in first.stderr
    assert "torch" in first.stdout
    second = cli("predict", photograph, "--target", "toy", "--output", "out")
    assert second.stdout == first.stdout
    assert "convert" not in second.stderr


def test_file_that_is_no_image(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("shopping list")
    done = cli("predict", "notes.jpg")
    assert done.returncode == 3
    assert "notes.jpg" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", [(1, 1), (12_000, 9_000)])
def test_smallest_and_largest_pictures_are_classified(
    cli: Cli, tmp_path: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size, "orange").save(tmp_path / "picture.png")
    done = cli("predict", "picture.png")
    assert done.returncode == 0, done.stderr


def test_hub_without_a_network_is_a_clear_error(cli: Cli, triangle: Path) -> None:
    import os

    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": "empty"}
    done = cli("predict", triangle, "--model", "apple/mobilevit-xx-small", env=environment)
    assert done.returncode == 3
    assert "apple/mobilevit-xx-small" in done.stderr
    assert "Next:" in done.stderr
    assert "Traceback" not in done.stderr


def test_model_folder_that_does_not_exist(cli: Cli, triangle: Path) -> None:
    done = cli("predict", triangle, "--model", "./no/such/folder")
    assert done.returncode == 3
    assert "no/such/folder" in done.stderr


def test_segmentation_draws_its_classes_over_the_picture(cli: Cli, triangle: Path, tmp_path: Path) -> None:
    done = cli("predict", triangle, "--model", "demo-segmentation", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"background", "triangle"} <= {row["label"] for row in found["reference"]}
    drawn = Image.open(tmp_path / found["overlay"])
    assert drawn.width >= 256
    assert drawn.height >= 256


def test_segmenting_artifact_stands_beside_the_reference(
    cli: Cli, segmented: Callable[..., Exported], triangle: Path, tmp_path: Path
) -> None:
    path = segmented("toy", argmax=True).path
    done = cli("predict", triangle, "--artifact", path, "--overlay", "new folder/drawn.png")
    assert done.returncode == 0, done.stderr
    assert "of the pixels the same class" in done.stdout
    assert Image.open(tmp_path / "new folder" / "drawn.png").format == "PNG"


def test_classifier_has_nothing_to_overlay(cli: Cli, triangle: Path, tmp_path: Path) -> None:
    done = cli("predict", triangle, "--overlay", "drawn.png")
    assert done.returncode == 2
    assert "classifier" in done.stderr
    assert not (tmp_path / "drawn.png").exists()


@pytest.mark.parametrize("order", ["grb", ""])
def test_unknown_channel_order(cli: Cli, triangle: Path, order: str) -> None:
    done = cli("predict", triangle, "--channel-order", order)
    assert done.returncode == 2
    assert "rgb or bgr" in done.stderr


@pytest.mark.parametrize(
    ("overlay", "said"), [("a triangle; $(touch executed).png", "replace"), ("a.jpg", "PNG")]
)
def test_overlay_never_replaces_the_picture_or_lies_about_its_format(
    cli: Cli, triangle: Path, tmp_path: Path, overlay: str, said: str
) -> None:
    before = triangle.read_bytes()
    done = cli("predict", triangle, "--model", "demo-segmentation", "--overlay", overlay)
    assert done.returncode == 2
    assert said in done.stderr
    assert triangle.read_bytes() == before
    assert not (tmp_path / "a.jpg").exists()


@pytest.mark.parametrize("option", ["--labels", "--channel-order", "--target"])
def test_what_an_artifact_has_of_its_own_cannot_be_chosen(
    cli: Cli, artifact_copy: Callable[..., Path], triangle: Path, option: str
) -> None:
    done = cli("predict", triangle, "--artifact", artifact_copy("toy"), option, "other")
    assert done.returncode == 2
    assert option in done.stderr


def test_model_for_another_task_than_the_artifacts(
    cli: Cli, artifact_copy: Callable[..., Path], triangle: Path
) -> None:
    done = cli("predict", triangle, "--artifact", artifact_copy("toy"), "--model", "demo-segmentation")
    assert done.returncode == 2
    assert "is for image-classification" in done.stderr
    assert "Traceback" not in done.stderr
