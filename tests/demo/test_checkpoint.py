"""The bundled checkpoints are what their cards say they are."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file

from mobilevit_deploy.demo import DEMOS, demo_checkpoint
from mobilevit_deploy.demo.evaluate import MASK_LABELS, Scores, evaluate, pixel_values
from mobilevit_deploy.demo.shapes import CLASSES, held_out
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.image import MobileViTImageProcessor
from mobilevit_deploy.reference import Reference, load_model

LABELS = {"demo": CLASSES, "demo-segmentation": MASK_LABELS}

each_demo = pytest.mark.parametrize("source", DEMOS)


def scores_of(reference: Reference, *, count: int) -> Scores:
    return evaluate(reference.model, reference.preprocess.to_processor(), count=count)


def card(source: str) -> str:
    return (demo_checkpoint(source) / "README.md").read_text(encoding="utf-8")


def stated(source: str, measure: str) -> float:
    found = re.search(rf"held-out {measure} \| \*\*([\d.]+)%\*\*", card(source))
    assert found is not None
    return float(found.group(1)) / 100


@each_demo
def test_the_folder_holds_a_hugging_face_checkpoint_and_nothing_else(source: str) -> None:
    names = {path.name for path in demo_checkpoint(source).iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}


@pytest.mark.parametrize(("source", "most"), [("demo", 2_000_000), ("demo-segmentation", 4_000_000)])
def test_the_weights_are_float16_and_small(source: str, most: int) -> None:
    file = demo_checkpoint(source) / "model.safetensors"
    assert file.stat().st_size < most
    kinds = {tensor.dtype for tensor in load_file(file).values()}
    assert kinds - {torch.int64} == {torch.float16}  # BatchNorm counts its batches in int64


@each_demo
def test_the_labels_are_those_of_the_data_set(source: str) -> None:
    labels = LABELS[source]
    config = json.loads((demo_checkpoint(source) / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {str(number): name for number, name in enumerate(labels)}
    assert config["label2id"] == {name: number for number, name in enumerate(labels)}
    assert load_model(source).labels == labels


@each_demo
def test_pictures_are_prepared_as_for_the_published_checkpoints(source: str) -> None:
    processor = MobileViTImageProcessor.from_pretrained(demo_checkpoint(source))
    assert processor.size == {"shortest_edge": 288}
    assert processor.crop_size == {"height": 256, "width": 256}
    assert processor.resample == 2
    assert processor.do_flip_channel_order


@each_demo
def test_transformers_loads_it_and_agrees(source: str) -> None:
    transformers = pytest.importorskip("transformers")
    ours = load_model(source).model
    kind = getattr(transformers, type(ours).__name__)
    theirs = kind.from_pretrained(demo_checkpoint(source), dtype=torch.float32).eval()
    processor = MobileViTImageProcessor.from_pretrained(demo_checkpoint(source))
    pixels = pixel_values(processor, list(held_out(len(CLASSES))))
    with torch.inference_mode():
        expected, found = theirs(pixels).logits, ours(pixels).logits
    spread = expected.max() - expected.min()
    assert (found - expected).abs().max() <= 1e-5 * spread
    assert theirs.config.id2label == dict(enumerate(LABELS[source]))


def test_the_classifier_is_right_on_most_held_out_pictures_but_not_on_all() -> None:
    """Trained, and not saturated: a saturated set would hide what an export or a quantisation breaks."""
    # Of the 1,200 pictures that the card speaks of, which would take a minute.
    scores = scores_of(load_model("demo"), count=240)
    assert 0.93 <= scores.mean <= 0.99
    assert min(scores.by_class.values()) > 0.8, scores
    assert scores.mean == pytest.approx(stated("demo", "top-1"), abs=0.02)  # two standard deviations


def test_the_segmenter_finds_the_pixels_of_every_shape() -> None:
    # Of the 1,200 pictures that the card speaks of, which would take a minute.
    scores = scores_of(load_model("demo-segmentation"), count=180)
    assert stated("demo-segmentation", "mIoU") >= 0.8
    assert scores.mean == pytest.approx(stated("demo-segmentation", "mIoU"), abs=0.04)
    assert min(scores.by_class.values()) > 0.6, scores


def test_a_missing_checkpoint_names_the_command_that_trains_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mobilevit_deploy.demo.DEMOS", {"demo": "nowhere", "demo-segmentation": "nowhere-either"}
    )
    with pytest.raises(CheckpointError, match=r"python -m mobilevit_deploy\.demo\.train --output"):
        demo_checkpoint()
    with pytest.raises(CheckpointError, match=r"train --task segmentation --output \S*nowhere-either"):
        demo_checkpoint("demo-segmentation")


def test_an_unknown_demo_names_those_that_are_bundled() -> None:
    with pytest.raises(CheckpointError, match="demo, demo-segmentation"):
        demo_checkpoint("demo-detection")
