"""The reference: a model together with how to feed it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.reference import Reference, load_model
from mobilevit_deploy.target import Input
from mobilevit_deploy.task import Task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mine = tmp_path / "my-model"
    mine.mkdir()
    for file in demo_checkpoint().iterdir():
        (mine / file.name).write_bytes(file.read_bytes())
    return mine


def test_demo_model_is_the_default() -> None:
    demo = load_model()
    assert (demo.name, demo.source) == ("mobilevit-xxs-shapes", "demo")
    assert demo.image_size == (256, 256)
    assert load_model("demo").weights_sha256() == demo.weights_sha256()


def test_folder_and_file_in_it_are_the_same_model(folder: Path) -> None:
    by_folder, by_file = load_model(folder), load_model(folder / "model.safetensors")
    assert by_folder.name == by_file.name == "my-model"
    assert by_folder.source == str(folder)
    assert by_folder.weights_sha256() == by_file.weights_sha256() == load_model().weights_sha256()


def test_one_changed_weight_changes_the_fingerprint(reference: Reference) -> None:
    other = load_model()
    other.model.classifier.bias.data[0] += 1e-3
    assert other.weights_sha256() != reference.weights_sha256()


def test_preprocessing_must_be_declared(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="must not be guessed") as caught:
        load_model(folder)
    assert "MobileViTImageProcessor" in caught.value.remedy


def test_input_must_have_a_size(folder: Path) -> None:
    config = folder / "preprocessor_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "do_center_crop": False}))
    with pytest.raises(CheckpointError, match="fixed size"):
        load_model(folder)


def test_resized_keeps_the_model_and_scales_the_preprocessing(reference: Reference) -> None:
    wide = reference.resized((64, 128))
    assert wide.model is reference.model
    assert wide.input(Input.TENSOR).shape == (1, 3, 64, 128)
    assert wide.input(Input.IMAGE).shape == (1, 64, 128, 3)
    assert wide.preprocess.channel_order == reference.preprocess.channel_order
    assert reference.resized(None) is reference


def test_run_gives_logits_for_any_batch(reference: Reference) -> None:
    pixels = np.random.default_rng(0).random((3, 3, 64, 64), dtype=np.float32)
    together = reference.run(pixels)
    assert together.shape == (3, len(reference.labels))
    np.testing.assert_allclose(together[1:2], reference.run(pixels[1:2]), atol=1e-4)


@pytest.mark.parametrize(("size", "cells"), [((64, 96), (4, 6)), ((100, 33), (7, 3))])
def test_output_of_a_segmenter_is_declared_as_it_comes(
    segmenter: Reference, size: tuple[int, int], cells: tuple[int, int]
) -> None:
    resized = segmenter.resized(size)
    assert resized.task == Task.SEGMENTATION
    assert resized.output().shape == (1, 13, *cells)
    assert resized.output(argmax=True).shape == (1, *size)
    pixels = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
    assert resized.run(pixels).shape == resized.output().shape


def test_channel_order_of_the_user_counts(reference: Reference) -> None:
    assert reference.preprocess.channel_order == "BGR"
    assert load_model("demo", channel_order="rgb").preprocess.channel_order == "RGB"
