"""The bundled checkpoint is what its card says it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mobilevit_deploy.demo
from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.demo.evaluate import evaluate, pixel_values
from mobilevit_deploy.demo.shapes import CLASSES, held_out
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.image import MobileViTImageProcessor
from mobilevit_deploy.model import MobileViTForImageClassification


@pytest.fixture(scope="module")
def model() -> MobileViTForImageClassification:
    return MobileViTForImageClassification.from_pretrained(demo_checkpoint())


@pytest.fixture(scope="module")
def processor() -> MobileViTImageProcessor:
    return MobileViTImageProcessor.from_pretrained(demo_checkpoint())


def test_the_folder_holds_a_hugging_face_checkpoint_and_nothing_else() -> None:
    names = {path.name for path in demo_checkpoint().iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}


def test_the_weights_are_float16_and_small() -> None:
    file = demo_checkpoint() / "model.safetensors"
    assert file.stat().st_size < 3_000_000
    kinds = {tensor.dtype for tensor in load_file(file).values()}
    assert kinds - {torch.int64} == {torch.float16}  # BatchNorm counts its batches in int64


def test_the_labels_are_the_classes_of_the_data_set(model: MobileViTForImageClassification) -> None:
    config = json.loads((demo_checkpoint() / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {str(number): name for number, name in enumerate(CLASSES)}
    assert config["label2id"] == {name: number for number, name in enumerate(CLASSES)}
    assert model.config.num_labels == len(CLASSES)


def test_pictures_are_prepared_as_for_the_published_checkpoints(processor: MobileViTImageProcessor) -> None:
    assert processor.size == {"shortest_edge": 288}
    assert processor.crop_size == {"height": 256, "width": 256}
    assert processor.resample == 2
    assert processor.do_flip_channel_order


def test_transformers_loads_it_and_agrees(
    model: MobileViTForImageClassification, processor: MobileViTImageProcessor
) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.MobileViTForImageClassification.from_pretrained(
        demo_checkpoint(), dtype=torch.float32
    ).eval()
    pixels = pixel_values(processor, list(held_out(len(CLASSES))))
    with torch.inference_mode():
        expected, found = theirs(pixels).logits, model(pixels).logits
    spread = expected.max() - expected.min()
    assert (found - expected).abs().max() <= 1e-5 * spread
    assert theirs.config.id2label == dict(enumerate(CLASSES))


def test_it_is_right_on_most_of_1200_held_out_pictures_but_not_on_all(
    model: MobileViTForImageClassification, processor: MobileViTImageProcessor
) -> None:
    """Trained, and not saturated: a saturated set would hide what an export or a quantisation breaks."""
    accuracy = evaluate(model, processor, count=1200)
    top1 = sum(accuracy.values()) / len(accuracy)
    assert 0.93 <= top1 <= 0.98
    assert min(accuracy.values()) > 0.8, accuracy
    card = (demo_checkpoint() / "README.md").read_text(encoding="utf-8")
    stated = re.search(r"held-out top-1 \| \*\*([\d.]+)%\*\*", card)
    assert stated is not None
    # Other versions of torch and other CPUs round differently: one picture in 400 may fall on the other side.
    assert float(stated.group(1)) == pytest.approx(100 * top1, abs=0.25)


def test_a_missing_checkpoint_names_the_command_that_trains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mobilevit_deploy.demo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match=r"python -m mobilevit_deploy\.demo\.train --output"):
        demo_checkpoint()
