"""A config is told by the shapes of the tensors: the paper's sizes, and anything else that can be built."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
    MobileViTModel,
)
from mobilevit_deploy.model.formats.shapes import infer_config

Kind = type[MobileViTForImageClassification | MobileViTForSemanticSegmentation | MobileViTModel]


def shapes(config: MobileViTConfig, kind: Kind = MobileViTForImageClassification) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in kind(config).state_dict().items()}


def inferred(found: Mapping[str, Any]) -> MobileViTConfig:
    return infer_config("model.pt", found)


@pytest.mark.parametrize("size", ["xxs", "xs", "s"])
@pytest.mark.parametrize("kind", [MobileViTForImageClassification, MobileViTForSemanticSegmentation])
def test_the_papers_sizes(size: str, kind: Kind) -> None:
    config = inferred(shapes(MobileViTConfig.preset(size, num_labels=21), kind))
    published = MobileViTConfig.preset(size, num_labels=21, architectures=(kind.__name__,))
    if kind is MobileViTForSemanticSegmentation:
        published = published.updated(output_stride=16, image_size=512)
    assert config == published
    assert config.size == size


def test_a_backbone() -> None:
    config = inferred(shapes(MobileViTConfig.preset("xs"), MobileViTModel))
    assert config == MobileViTConfig.preset("xs", architectures=("MobileViTModel",))


widths = st.integers(1, 12).map(lambda eighths: 8 * eighths)


@given(
    hidden=st.tuples(widths, widths, widths),
    neck=st.tuples(widths, widths, widths, widths, widths, widths, widths),
    expand_ratio=st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0, 6.0]),
    mlp_ratio=st.sampled_from([1.0, 2.0, 4.0]),
    kernel=st.sampled_from([1, 3, 5]),
    bias=st.booleans(),
    channels=st.integers(1, 4),
    labels=st.integers(1, 30),
    segments=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_whatever_can_be_built_is_told_by_its_shapes(
    hidden: tuple[int, ...],
    neck: tuple[int, ...],
    expand_ratio: float,
    mlp_ratio: float,
    kernel: int,
    bias: bool,
    channels: int,
    labels: int,
    segments: bool,
) -> None:
    built = MobileViTConfig(
        hidden_sizes=hidden,
        neck_hidden_sizes=neck,
        expand_ratio=expand_ratio,
        mlp_ratio=mlp_ratio,
        conv_kernel_size=kernel,
        qkv_bias=bias,
        num_channels=channels,
        num_labels=labels,
    )
    kind: Kind = MobileViTForSemanticSegmentation if segments else MobileViTForImageClassification
    found = shapes(built, kind)
    assert shapes(inferred(found), kind) == found


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("mobilevit.conv_stem.convolution.weight", None, "incomplete: 'conv_stem.convolution.weight'"),
        ("mobilevit.encoder.layer.3.conv_1x1.convolution.weight", (80, 64), "of another rank"),
        ("mobilevit.encoder.layer.2.conv_1x1.convolution.weight", (63, 48, 1, 1), "hidden_sizes[0] is 63"),
        ("mobilevit.conv_1x1_exp.convolution.weight", (9999, 80, 1, 1), "neck_hidden_sizes[6]"),
        ("mobilevit.encoder.layer.2.conv_kxk.convolution.weight", (48, 1, 3, 3), "a MobileViTv3"),
        ("mobilevit.encoder.layer.2.fusion.convolution.weight", (48, 96, 1, 1), "a MobileViTv3"),
    ],
)
def test_what_no_mobilevit_has_is_named(name: str, shape: tuple[int, ...] | None, told: str) -> None:
    found: dict[str, Any] = shapes(MobileViTConfig.preset("xxs"))
    if shape is None:
        del found[name]
    else:
        found[name] = shape
    with pytest.raises(CheckpointError) as caught:
        inferred(found)
    assert told in caught.value.problem
    assert "model.pt" in caught.value.problem


XXS = shapes(MobileViTConfig.preset("xxs"), MobileViTForSemanticSegmentation)


@given(
    changed=st.dictionaries(
        st.sampled_from([name for name in XXS if "weight" in name]),
        st.lists(st.integers(0, 300), max_size=5),
        min_size=1,
        max_size=4,
    ),
    lost=st.sets(st.sampled_from(list(XXS)), max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_damaged_shapes_give_a_config_or_are_refused(changed: dict[str, list[int]], lost: set[str]) -> None:
    damaged = {name: shape for name, shape in {**XXS, **changed}.items() if name not in lost}
    with suppress(CheckpointError):
        assert infer_config("model.pt", damaged).num_labels >= 1
