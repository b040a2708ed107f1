"""ml-cvnets' checkpoints give what ml-cvnets' model gives: classifiers, and segmenters with DeepLabV3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fakes.published import PARAMETERS, CvnetsSegmenter, alive, cvnets_classifier
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
)
from mobilevit_deploy.model.checkpoint import open_checkpoint
from mobilevit_deploy.model.formats import Format
from mobilevit_deploy.task import Task


def saved(content: Any, file: Path) -> Path:
    torch.save(content, file)
    return file


def segmenter(size: str = "xxs", *, stride: int = 16, first_version: bool = True, **fields: Any) -> Any:
    config = MobileViTConfig.preset(size, num_labels=6, output_stride=stride, **fields)
    return alive(CvnetsSegmenter(config, first_version=first_version, auxiliary=not first_version))


@torch.inference_mode()
def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-5 * (theirs.max() - theirs.min())


@pytest.fixture(scope="module")
def xxs() -> Any:
    return cvnets_classifier("xxs")


@pytest.mark.parametrize("size", ["xxs", "xs", "s"])
@torch.inference_mode()
def test_every_size_of_classifier_is_recognised_and_computes_the_same(size: str, tmp_path: Path) -> None:
    published = cvnets_classifier(size, labels=1000)
    assert sum(parameter.numel() for parameter in published.parameters()) == PARAMETERS[size]
    checkpoint = open_checkpoint(saved(published.state_dict(), tmp_path / f"mobilevit_{size}.pt"))
    assert checkpoint.format is Format.CVNETS
    assert checkpoint.task is Task.CLASSIFICATION
    assert checkpoint.config == MobileViTConfig.preset(
        size, num_labels=1000, architectures=("MobileViTForImageClassification",)
    )
    pixels = torch.rand(1, 3, 64, 128)
    assert_equal(checkpoint.load()(pixels).logits, published(pixels))


@pytest.mark.parametrize(
    ("size", "first_version", "stride", "width", "rates"),
    [
        ("xxs", True, 16, 256, (6, 12, 18)),  # the published weights' recipe
        ("xs", False, 16, 256, (6, 12, 18)),
        ("xxs", False, 8, 512, (12, 24, 36)),  # the later recipe
    ],
)
@torch.inference_mode()
def test_segmenters_are_recognised_and_compute_the_same(
    size: str, first_version: bool, stride: int, width: int, rates: tuple[int, ...], tmp_path: Path
) -> None:
    published = segmenter(
        size, stride=stride, first_version=first_version, aspp_out_channels=width, atrous_rates=rates
    )
    checkpoint = open_checkpoint(saved(published.state_dict(), tmp_path / "deeplabv3.pt"))
    assert checkpoint.task is Task.SEGMENTATION
    assert checkpoint.config.size == size
    assert (checkpoint.config.output_stride, checkpoint.config.atrous_rates) == (stride, rates)
    assert any(f"Output stride {stride}" in note for note in checkpoint.notes)
    pixels = torch.rand(1, 3, 128, 64)
    assert_equal(checkpoint.load()(pixels).logits, published(pixels))


def test_what_only_training_uses_is_left_out_and_said(tmp_path: Path) -> None:
    published = segmenter(first_version=False)
    left_over = cvnets_classifier("xxs").conv_1x1_exp.state_dict(prefix="encoder.conv_1x1_exp.")
    tensors = {**published.state_dict(), **left_over}
    checkpoint = open_checkpoint(saved(tensors, tmp_path / "deeplabv3.pt"))
    note = next(note for note in checkpoint.notes if note.startswith("Left out"))
    assert "encoder.conv_1x1_exp, seg_head.aux_head" in note
    assert isinstance(checkpoint.load(), MobileViTForSemanticSegmentation)


def test_pictures_are_fed_as_published(xxs: Any, tmp_path: Path) -> None:
    for content, edge, crop in ((xxs.state_dict(), 288, 256), (segmenter().state_dict(), 544, 512)):
        processor = open_checkpoint(saved(content, tmp_path / "model.pt")).preprocessing
        assert processor is not None
        assert processor.size == {"shortest_edge": edge}
        assert processor.crop_size == {"height": crop, "width": crop}
        assert processor.resample == 2  # bilinear
        assert processor.rescale_factor == 1 / 255
        assert processor.do_flip_channel_order is True  # BGR


def test_a_training_checkpoint_gives_its_averaged_weights(xxs: Any, tmp_path: Path) -> None:
    last = {name: tensor * 0.5 for name, tensor in xxs.state_dict().items()}
    content = {
        "iterations": 7,
        "epoch": 3,
        "model_state_dict": {f"module.{name}": tensor for name, tensor in last.items()},
        "optim_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "best_metric": 71.5,
        "gradient_scaler_state_dict": {"scale": 65536.0},
        "ema_state_dict": xxs.state_dict(),
    }
    file = saved(content, tmp_path / "training_checkpoint_last.pt")
    for ema, expected in ((None, 1.0), (True, 1.0), (False, 0.5)):
        checkpoint = open_checkpoint(file, ema=ema)
        weight = checkpoint.load().state_dict()["classifier.weight"]
        assert torch.equal(weight, xxs.classifier.fc.weight * expected), ema
        assert any("EMA" in note for note in checkpoint.notes) is (ema is not False)


def test_the_published_class_loads_it_and_the_other_says_which_one_does(xxs: Any, tmp_path: Path) -> None:
    classifier = saved(xxs.state_dict(), tmp_path / "classifier.pt")
    segmentation = saved(segmenter().state_dict(), tmp_path / "segmenter.pt")
    MobileViTForImageClassification.from_pretrained(classifier)
    MobileViTForSemanticSegmentation.from_pretrained(segmentation)
    with pytest.raises(CheckpointError, match="load it as MobileViTForImageClassification"):
        MobileViTForSemanticSegmentation.from_pretrained(classifier)
    with pytest.raises(CheckpointError, match="load it as MobileViTForSemanticSegmentation"):
        MobileViTForImageClassification.from_pretrained(segmentation)


def test_half_and_single_precision_may_be_mixed(xxs: Any, tmp_path: Path) -> None:
    tensors = {
        name: tensor.half() if name.startswith("layer_") and tensor.is_floating_point() else tensor
        for name, tensor in xxs.state_dict().items()
    }
    model = open_checkpoint(saved(tensors, tmp_path / "mixed.pt")).load()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_integer_weights_are_refused(xxs: Any, tmp_path: Path) -> None:
    tensors = {**xxs.state_dict(), "classifier.fc.weight": torch.ones(5, 320, dtype=torch.int8)}
    with pytest.raises(CheckpointError, match=r"classifier\.weight as torch\.int8"):
        open_checkpoint(saved(tensors, tmp_path / "int8.pt")).load()


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        (("pre_norm_mha.1.qkv_proj", "pre_norm_attn.1.qkv_proj"), "is a MobileViTv2 (ml-cvnets')"),
        (("conv_1x1_exp", "ssd_heads.0.conv_1x1"), "is a detector (SSD)"),
        (("layer_5.", "layer_6."), "no part of a MobileViT: layer_6.0"),
        (("fusion", "mixing"), "does not hold the weights of a MobileViT"),
    ],
)
def test_relatives_are_named(rename: tuple[str, str], told: str, xxs: Any, tmp_path: Path) -> None:
    tensors = {name.replace(*rename): tensor for name, tensor in xxs.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(saved(tensors, tmp_path / "model.pt"))
    assert told in caught.value.problem
    assert "model.pt" in caught.value.problem


def test_another_segmentation_head_is_named(tmp_path: Path) -> None:
    tensors = {name.replace(".aspp.", ".psp."): tensor for name, tensor in segmenter().state_dict().items()}
    with pytest.raises(CheckpointError, match="another head than DeepLabV3"):
        open_checkpoint(saved(tensors, tmp_path / "pspnet.pt"))


def test_a_folder_of_several_checkpoints_is_not_guessed_at(xxs: Any, tmp_path: Path) -> None:
    saved(xxs.state_dict(), tmp_path / "checkpoint_best.pt")
    assert open_checkpoint(tmp_path).config.size == "xxs"
    saved(xxs.state_dict(), tmp_path / "checkpoint_ema_best.pt")
    with pytest.raises(CheckpointError, match=r"checkpoint_best\.pt, checkpoint_ema_best\.pt"):
        open_checkpoint(tmp_path)
