"""The reference computes what the published model computes, and a fresh one is alive."""

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

from mobilevit_deploy.model import MobileViTConfig, MobileViTForImageClassification, MobileViTModel

MakeModel = Callable[..., Any]

# Of the tensor's spread (max - min): a few float32 roundings in a row.
TOLERANCE = 1e-5

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png")

CASES = [
    # preset, output stride, batch, height, width
    ("xxs", 32, 1, 256, 256),
    ("xs", 32, 1, 256, 256),
    ("s", 32, 1, 256, 256),
    ("xxs", 32, 3, 255, 193),
    ("xs", 32, 3, 64, 64),
    ("s", 32, 2, 97, 130),
    ("xxs", 16, 3, 97, 130),
    ("xs", 16, 1, 96, 64),
    ("s", 16, 1, 64, 64),
    ("xxs", 8, 1, 97, 130),
    ("xs", 8, 3, 33, 70),
    ("s", 8, 1, 64, 64),
    ("xxs", 32, 2, 1, 1),
]


def published(model: Any) -> Any:
    """transformers' model with the same config and weights."""
    config = transformers.MobileViTConfig(**model.config.to_dict())
    if isinstance(model, MobileViTModel):
        theirs: Any = transformers.MobileViTModel(config, expand_output=model.expand_output)
    else:
        theirs = transformers.MobileViTForImageClassification(config)
    theirs.load_state_dict(model.state_dict(), strict=True)
    return theirs.eval()


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    spread = (theirs.max() - theirs.min()).item()
    assert ours.shape == theirs.shape
    assert spread > 1e-3, "a tensor without spread proves nothing"
    assert (ours - theirs).abs().max().item() <= TOLERANCE * spread


def photograph(name: str) -> Image.Image:
    return Image.open(Path(skimage.data.__path__[0]) / name).convert("RGB")


def batch_of(*pictures: Image.Image) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2) / 255


def pixels(batch: int, height: int, width: int) -> Tensor:
    """Crops of a photograph, each of another place."""
    whole = photograph("astronaut.png")
    return batch_of(*(whole.crop((x, x, x + width, x + height)) for x in range(0, 20 * batch, 20)))


@pytest.mark.parametrize(("preset", "output_stride", "batch", "height", "width"), CASES)
@torch.inference_mode()
def test_every_output_equals_the_published_models(
    make_model: MakeModel, preset: str, output_stride: int, batch: int, height: int, width: int
) -> None:
    model = make_model(MobileViTConfig.preset(preset, num_labels=1000, output_stride=output_stride))
    theirs = published(model)
    pixel_values = pixels(batch, height, width)
    a = model(pixel_values, output_hidden_states=True)
    b = theirs(pixel_values, output_hidden_states=True)
    assert_equal(a.logits, b.logits)
    assert len(a.hidden_states) == len(b.hidden_states) == 5
    for x, y in zip(a.hidden_states, b.hidden_states, strict=True):
        assert_equal(x, y)
    a, b = model.mobilevit(pixel_values), theirs.mobilevit(pixel_values)
    assert_equal(a.last_hidden_state, b.last_hidden_state)
    assert_equal(a.pooler_output, b.pooler_output)


@torch.inference_mode()
def test_a_backbone_without_expansion_equals_the_published_one(make_model: MakeModel) -> None:
    model = make_model(MobileViTConfig.preset("xxs"), MobileViTModel, expand_output=False)
    a, b = (kind(pixels(2, 64, 96)) for kind in (model, published(model)))
    assert_equal(a.last_hidden_state, b.last_hidden_state)
    assert a.last_hidden_state.shape == (2, 80, 2, 3)
    assert a.pooler_output is None is b.pooler_output


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "relu"},
        {"hidden_act": "gelu"},
        {"hidden_act": "hardswish"},
        {"hidden_act": "relu6"},
        {"patch_size": 3},
        {"conv_kernel_size": 5},
        {"qkv_bias": False},
        {"num_attention_heads": 2},
        {"num_channels": 1},
        {"mlp_ratio": 3.3},
        {"expand_ratio": 1.7},
        {"layer_norm_eps": 0.1},
    ],
    ids=str,
)
@torch.inference_mode()
def test_every_field_of_the_architecture_means_what_it_means_there(
    make_model: MakeModel, changes: dict[str, Any]
) -> None:
    model = make_model(MobileViTConfig.preset("xxs", **changes))
    pixel_values = pixels(1, 65, 64)[:, : model.config.num_channels]
    assert_equal(model(pixel_values).logits, published(model)(pixel_values).logits)


@pytest.mark.parametrize(("preset", "parameters"), [("xxs", 1_272_024), ("xs", 2_317_848), ("s", 5_578_632)])
def test_parameters_are_as_many_as_in_the_paper(preset: str, parameters: int) -> None:
    model = MobileViTForImageClassification(MobileViTConfig.preset(preset, num_labels=1000))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "labels"),
    [
        (5, None, torch.tensor([4, 0])),
        (5, "single_label_classification", torch.tensor([[1], [2]])),
        (5, None, torch.tensor([[0.0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])),
        (5, "multi_label_classification", torch.rand(2, 5)),
        (5, "regression", torch.rand(2, 5)),
        (1, None, torch.tensor([[0.3], [-2.0]])),
        (1, None, torch.tensor([0.3, -2.0])),
    ],
)
@torch.inference_mode()
def test_the_loss_equals_the_published_one(
    make_model: MakeModel, num_labels: int, problem_type: str | None, labels: Tensor
) -> None:
    model = make_model(MobileViTConfig.preset("xxs", num_labels=num_labels, problem_type=problem_type))
    pixel_values = pixels(2, 64, 64)
    ours = model(pixel_values, labels=labels).loss
    theirs = published(model)(pixel_values, labels=labels).loss
    assert torch.isfinite(ours)
    torch.testing.assert_close(ours, theirs)


def test_a_training_step_lowers_the_loss_and_reaches_every_weight() -> None:
    torch.manual_seed(0)
    model = MobileViTForImageClassification(MobileViTConfig.preset("xxs", num_labels=3)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    # At 64x64 the last stage is a single patch, whose attention to itself has nothing to learn.
    pixel_values, labels = pixels(3, 96, 96), torch.tensor([0, 1, 2])
    losses = []
    for _ in range(4):
        loss = model(pixel_values, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A key's bias shifts all scores of a row alike, which softmax does not see.
    assert [name for name in idle if not name.endswith("key.bias")] == []


@pytest.mark.parametrize("preset", ["xxs", "xs", "s"])
@torch.inference_mode()
def test_a_fresh_model_neither_dies_nor_explodes_on_photographs(preset: str) -> None:
    torch.manual_seed(0)
    model = MobileViTForImageClassification(MobileViTConfig.preset(preset, num_labels=1000)).eval()
    pictures = batch_of(*(photograph(name).resize((192, 192)) for name in PHOTOGRAPHS))
    output = model(pictures, output_hidden_states=True)
    for state in output.hidden_states:
        assert 0.05 < state.std().item() < 5
    assert output.logits.std(dim=1).min().item() > 1e-2  # across classes
    assert output.logits.std(dim=0).mean().item() > 1e-2  # across photographs


def test_folding_undoes_unfolding() -> None:
    block = MobileViTModel(MobileViTConfig.preset("xxs")).encoder.layer[-1]
    features = torch.rand(2, 3, 4, 6)
    sequences = block.unfold(features)
    assert sequences.shape == (2 * 4, 6, 3)
    # The first sequence holds the upper left cell of every patch.
    assert torch.equal(sequences[0], features[0, :, ::2, ::2].flatten(1).T)
    assert torch.equal(block.fold(sequences, 4, 6), features)


@torch.inference_mode()
def test_hidden_states_are_given_when_asked_for_or_configured(tiny: MobileViTConfig) -> None:
    silent, talkative = (
        MobileViTForImageClassification(tiny.updated(output_hidden_states=on)).eval() for on in (False, True)
    )
    pixel_values = pixels(1, 64, 64)
    assert silent(pixel_values).hidden_states is None
    assert len(silent(pixel_values, output_hidden_states=True).hidden_states) == 5
    assert len(talkative(pixel_values).hidden_states) == 5
    assert talkative(pixel_values, output_hidden_states=False).hidden_states is None


@torch.inference_mode()
def test_outputs_are_read_by_name_and_by_position(tiny: MobileViTConfig) -> None:
    model = MobileViTForImageClassification(tiny).eval()
    plain = model(pixels(2, 64, 64))
    assert plain[0] is plain["logits"] is plain.logits
    assert plain.to_tuple() == (plain.logits,)
    with pytest.raises(KeyError):
        plain["loss"]
    with pytest.raises(IndexError):
        plain[1]
    full = model(pixels(2, 64, 64), labels=torch.tensor([0, 1]), output_hidden_states=True)
    assert [full[0], full[1], full[2]] == [full.loss, full.logits, full.hidden_states]
    assert full[:2] == (full.loss, full.logits)


@pytest.mark.parametrize(
    ("pixel_values", "error", "message"),
    [
        (torch.rand(3, 64, 64), ValueError, r"\[batch, 3, height, width\], not \[3, 64, 64\]"),
        (torch.rand(1, 4, 64, 64), ValueError, r"not \[1, 4, 64, 64\]"),
        (torch.rand(1, 64, 64, 3), ValueError, r"not \[1, 64, 64, 3\]"),
        (torch.rand(1, 3, 0, 64), ValueError, "at least one pixel"),
        (torch.rand(0, 3, 64, 64), ValueError, "at least one pixel"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), ValueError, "floating point in 0..1, not torch.uint8"),
        (np.zeros((1, 3, 64, 64)), TypeError, "torch tensor, not ndarray"),
    ],
)
def test_unusable_pixels_are_refused(
    tiny: MobileViTConfig, pixel_values: Any, error: type[Exception], message: str
) -> None:
    for kind in (MobileViTForImageClassification, MobileViTModel):
        with pytest.raises(error, match=message):
            kind(tiny)(pixel_values)


@pytest.mark.parametrize("side", [64, 65])
def test_the_model_exports(make_model: MakeModel, side: int) -> None:
    model = make_model(MobileViTConfig.preset("xxs"))
    pixel_values = pixels(1, side, side)
    program = torch.export.export(model, (pixel_values,), {"output_hidden_states": True})
    with torch.inference_mode():
        exported, eager = program.module()(pixel_values, output_hidden_states=True), model(pixel_values)
    assert_equal(exported.logits, eager.logits)
    assert len(exported.hidden_states) == 5
