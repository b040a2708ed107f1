"""MobileViT on phones: export, prove parity, measure.

    from mobilevit_deploy import load_model, export, verify, evaluate, predict, benchmark

Names are imported on first use: importing the package imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilevit_deploy.bench.schedule import run as benchmark
    from mobilevit_deploy.image import MobileViTFeatureExtractor, MobileViTImageProcessor
    from mobilevit_deploy.model import (
        MobileViTConfig,
        MobileViTForImageClassification,
        MobileViTForSemanticSegmentation,
        MobileViTModel,
    )
    from mobilevit_deploy.model.keras import (
        TFMobileViTForImageClassification,
        TFMobileViTForSemanticSegmentation,
        TFMobileViTModel,
    )
    from mobilevit_deploy.pipeline import evaluate, export, verify
    from mobilevit_deploy.prediction import predict
    from mobilevit_deploy.reference import load_model

_HOME = {
    "MobileViTConfig": ("mobilevit_deploy.model", "MobileViTConfig"),
    "MobileViTFeatureExtractor": ("mobilevit_deploy.image", "MobileViTFeatureExtractor"),
    "MobileViTForSemanticSegmentation": ("mobilevit_deploy.model", "MobileViTForSemanticSegmentation"),
    "TFMobileViTForImageClassification": (
        "mobilevit_deploy.model.keras",
        "TFMobileViTForImageClassification",
    ),
    "TFMobileViTForSemanticSegmentation": (
        "mobilevit_deploy.model.keras",
        "TFMobileViTForSemanticSegmentation",
    ),
    "TFMobileViTModel": ("mobilevit_deploy.model.keras", "TFMobileViTModel"),
    "MobileViTForImageClassification": ("mobilevit_deploy.model", "MobileViTForImageClassification"),
    "MobileViTImageProcessor": ("mobilevit_deploy.image", "MobileViTImageProcessor"),
    "MobileViTModel": ("mobilevit_deploy.model", "MobileViTModel"),
    "benchmark": ("mobilevit_deploy.bench.schedule", "run"),
    "evaluate": ("mobilevit_deploy.pipeline", "evaluate"),
    "export": ("mobilevit_deploy.pipeline", "export"),
    "load_model": ("mobilevit_deploy.reference", "load_model"),
    "predict": ("mobilevit_deploy.prediction", "predict"),
    "verify": ("mobilevit_deploy.pipeline", "verify"),
}

__all__ = [
    "MobileViTConfig",
    "MobileViTFeatureExtractor",
    "MobileViTForImageClassification",
    "MobileViTForSemanticSegmentation",
    "MobileViTImageProcessor",
    "MobileViTModel",
    "TFMobileViTForImageClassification",
    "TFMobileViTForSemanticSegmentation",
    "TFMobileViTModel",
    "benchmark",
    "evaluate",
    "export",
    "load_model",
    "predict",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
