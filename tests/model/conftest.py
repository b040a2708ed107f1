"""Models whose weights are alive, so that a comparison that passes means something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
    MobileViTModel,
)

Model = MobileViTForImageClassification | MobileViTForSemanticSegmentation | MobileViTModel


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    """Builds a model in eval mode with seeded weights, and BatchNorm as training would leave it."""

    def make(
        config: MobileViTConfig, kind: type[Model] = MobileViTForImageClassification, **arguments: Any
    ) -> Model:
        torch.manual_seed(2110)
        model = kind(config, **arguments).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.8, 1.2)
                nn.init.normal_(module.bias, std=0.1)
                assert module.running_mean is not None
                assert module.running_var is not None
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        return model

    return make


@pytest.fixture(scope="session")
def live(make_model: Callable[..., Model]) -> Callable[..., Model]:
    """As ``make_model``, with LayerNorm's scale and shift, and every bias, such that they matter as well."""

    def make(config: MobileViTConfig, kind: type[Model] = MobileViTForImageClassification) -> Model:
        model = make_model(config, kind)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
            elif isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.3)
        return model

    return make


@pytest.fixture(scope="session")
def tiny() -> MobileViTConfig:
    """The smallest config that still has every part; for tests that are about files, not about figures."""
    return MobileViTConfig(
        hidden_sizes=(8, 12, 16),
        neck_hidden_sizes=(4, 4, 8, 8, 8, 8, 16),
        expand_ratio=1.0,
        num_attention_heads=2,
        num_labels=3,
    )
