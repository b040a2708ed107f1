"""The segmenter computes what the published one computes: logits, losses, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
import transformers
from PIL import Image
from torch import Tensor

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
    MobileViTModel,
)

MakeModel = Callable[..., Any]

# Of the tensor's spread (max - min): a few float32 roundings in a row.
TOLERANCE = 1e-5

CASES = [
    # preset, output stride, batch, height, width
    ("xxs", 16, 1, 128, 128),
    ("xxs", 32, 2, 128, 96),
    ("xxs", 8, 1, 65, 97),
    ("xxs", 16, 3, 97, 130),
    ("xs", 16, 1, 64, 96),
    ("s", 16, 1, 70, 33),
    ("xxs", 32, 1, 1, 1),
]


def published(model: MobileViTForSemanticSegmentation) -> Any:
    """transformers' model with the same config and weights."""
    theirs = transformers.MobileViTForSemanticSegmentation(
        transformers.MobileViTConfig(**model.config.to_dict())
    )
    theirs.load_state_dict(model.state_dict(), strict=True)
    return theirs.eval()


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    spread = (theirs.max() - theirs.min()).item()
    assert ours.shape == theirs.shape
    assert spread > 1e-3, "a tensor without spread proves nothing"
    assert (ours - theirs).abs().max().item() <= TOLERANCE * spread


def pixels(batch: int, height: int, width: int) -> Tensor:
    """Crops of a photograph, each of another place."""
    whole = Image.open(Path(skimage.data.__path__[0]) / "astronaut.png").convert("RGB")
    crops = [np.asarray(whole.crop((x, x, x + width, x + height))) for x in range(0, 20 * batch, 20)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255


def masks(classes: int, *shape: int) -> Tensor:
    """Random classes, a tenth of them to be ignored."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, shape, generator=generator)
    return labels.masked_fill(torch.rand(shape, generator=generator) < 0.1, 255)


@pytest.fixture(scope="module")
def segmenter(make_model: MakeModel) -> MobileViTForSemanticSegmentation:
    config = MobileViTConfig.preset("xxs", num_labels=6, output_stride=16)
    model: MobileViTForSemanticSegmentation = make_model(config, MobileViTForSemanticSegmentation)
    return model


@pytest.mark.parametrize(("preset", "output_stride", "batch", "height", "width"), CASES)
@torch.inference_mode()
def test_every_output_equals_the_published_models(
    make_model: MakeModel, preset: str, output_stride: int, batch: int, height: int, width: int
) -> None:
    config = MobileViTConfig.preset(preset, num_labels=21, output_stride=output_stride)
    model = make_model(config, MobileViTForSemanticSegmentation)
    pixel_values = pixels(batch, height, width)
    a = model(pixel_values, output_hidden_states=True)
    b = published(model)(pixel_values, output_hidden_states=True)
    assert a.logits.shape == (batch, 21, -(-height // output_stride), -(-width // output_stride))
    assert_equal(a.logits, b.logits)
    for x, y in zip(a.hidden_states, b.hidden_states, strict=True):
        assert_equal(x, y)


@pytest.mark.parametrize(
    "changes",
    [{"aspp_out_channels": 40}, {"atrous_rates": (1, 3, 30)}, {"hidden_act": "gelu"}, {"num_channels": 1}],
    ids=str,
)
@torch.inference_mode()
def test_every_field_of_the_head_means_what_it_means_there(
    make_model: MakeModel, changes: dict[str, Any]
) -> None:
    config = MobileViTConfig.preset("xxs", output_stride=16, **changes)
    model = make_model(config, MobileViTForSemanticSegmentation)
    pixel_values = pixels(1, 96, 64)[:, : config.num_channels]
    assert_equal(model(pixel_values).logits, published(model)(pixel_values).logits)


@pytest.mark.parametrize("size", [(96, 64), (8, 8), (101, 33)], ids=str)
@torch.inference_mode()
def test_the_loss_equals_the_published_one(
    segmenter: MobileViTForSemanticSegmentation, size: tuple[int, int]
) -> None:
    pixel_values, labels = pixels(2, 96, 64), masks(6, 2, *size)
    ours = segmenter(pixel_values, labels=labels).loss
    assert torch.isfinite(ours)
    torch.testing.assert_close(ours, published(segmenter)(pixel_values, labels=labels).loss)


@torch.inference_mode()
def test_the_loss_ignores_the_class_that_the_config_names(
    make_model: MakeModel, tiny: MobileViTConfig
) -> None:
    model = make_model(tiny.updated(semantic_loss_ignore_index=2), MobileViTForSemanticSegmentation)
    pixel_values, labels = pixels(1, 64, 64), torch.full((1, 64, 64), 2)
    labels[:, :32] = 1
    partly = model(pixel_values, labels=labels).loss
    enlarged = torch.nn.functional.interpolate(model(pixel_values).logits, (64, 64), mode="bilinear")
    torch.testing.assert_close(partly, -enlarged.log_softmax(1)[:, 1, :32].mean())


def test_a_training_step_lowers_the_loss_and_reaches_every_weight_of_the_head() -> None:
    torch.manual_seed(0)
    config = MobileViTConfig.preset("xxs", num_labels=3, output_stride=16, aspp_out_channels=32)
    model = MobileViTForSemanticSegmentation(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    # Large enough that each atrous rate reaches beyond its centre.
    pixel_values, labels = pixels(2, 320, 320), masks(3, 2, 80, 80)
    losses = []
    for _ in range(3):
        loss = model(pixel_values, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert [name for name in idle if not name.endswith("key.bias")] == []


@pytest.mark.parametrize(
    ("num_labels", "labels", "message"),
    [
        (1, torch.zeros(1, 64, 64, dtype=torch.long), "at least 2 labels"),
        (3, torch.zeros(64, 64, dtype=torch.long), r"\[batch, height, width\], not \[64, 64\]"),
        (3, torch.zeros(1, 1, 64, 64, dtype=torch.long), r"not \[1, 1, 64, 64\]"),
    ],
)
def test_unusable_labels_are_refused(
    tiny: MobileViTConfig, num_labels: int, labels: Tensor, message: str
) -> None:
    model = MobileViTForSemanticSegmentation(tiny.updated(num_labels=num_labels))
    with pytest.raises(ValueError, match=message):
        model(pixels(1, 64, 64), labels=labels)


@torch.inference_mode()
def test_one_label_is_enough_without_labels_to_learn_from(tiny: MobileViTConfig) -> None:
    model = MobileViTForSemanticSegmentation(tiny.updated(num_labels=1)).eval()
    assert model(pixels(1, 64, 64)).logits.shape == (1, 1, 2, 2)


class TestCheckpoints:
    @torch.inference_mode()
    def test_are_written_as_transformers_reads_them(
        self, segmenter: MobileViTForSemanticSegmentation, tmp_path: Path
    ) -> None:
        segmenter.save_pretrained(tmp_path)
        pixel_values = pixels(1, 96, 96)
        theirs, loading = transformers.MobileViTForSemanticSegmentation.from_pretrained(
            tmp_path, output_loading_info=True
        )
        assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert_equal(segmenter(pixel_values).logits, theirs.eval()(pixel_values).logits)

    @torch.inference_mode()
    def test_are_read_as_transformers_writes_them(
        self, segmenter: MobileViTForSemanticSegmentation, tmp_path: Path
    ) -> None:
        published(segmenter).save_pretrained(tmp_path)
        ours = MobileViTForSemanticSegmentation.from_pretrained(tmp_path)
        pixel_values = pixels(1, 96, 96)
        assert torch.equal(ours(pixel_values).logits, segmenter(pixel_values).logits)

    @torch.inference_mode()
    def test_give_their_backbone(self, segmenter: MobileViTForSemanticSegmentation, tmp_path: Path) -> None:
        segmenter.save_pretrained(tmp_path)
        backbone = MobileViTModel.from_pretrained(tmp_path, expand_output=False)
        pixel_values = pixels(1, 96, 96)
        ours = backbone(pixel_values).last_hidden_state
        assert torch.equal(ours, segmenter(pixel_values, output_hidden_states=True).hidden_states[-1])

    def test_do_not_pass_for_another_task(
        self, segmenter: MobileViTForSemanticSegmentation, tmp_path: Path
    ) -> None:
        segmenter.save_pretrained(tmp_path)
        with pytest.raises(CheckpointError):
            MobileViTForImageClassification.from_pretrained(tmp_path)
        MobileViTForImageClassification(segmenter.config).save_pretrained(tmp_path)
        with pytest.raises(CheckpointError):
            MobileViTForSemanticSegmentation.from_pretrained(tmp_path)


@torch.inference_mode()
def test_the_model_exports(segmenter: MobileViTForSemanticSegmentation) -> None:
    pixel_values = pixels(1, 65, 64)
    exported = torch.export.export(segmenter, (pixel_values,)).module()(pixel_values)
    assert_equal(exported.logits, segmenter(pixel_values).logits)
