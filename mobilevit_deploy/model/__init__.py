"""The reference model and its TensorFlow twins.

Names are looked up on first use, so that importing this package imports neither torch nor tensorflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilevit_deploy.model.classification import (
        MobileViTForImageClassification as MobileViTForImageClassification,
    )
    from mobilevit_deploy.model.config import MobileViTConfig as MobileViTConfig
    from mobilevit_deploy.model.deeplabv3 import (
        MobileViTForSemanticSegmentation as MobileViTForSemanticSegmentation,
    )
    from mobilevit_deploy.model.keras import (
        TFMobileViTForImageClassification as TFMobileViTForImageClassification,
    )
    from mobilevit_deploy.model.keras import (
        TFMobileViTForSemanticSegmentation as TFMobileViTForSemanticSegmentation,
    )
    from mobilevit_deploy.model.keras import TFMobileViTModel as TFMobileViTModel
    from mobilevit_deploy.model.mobilevit import MobileViTModel as MobileViTModel

_HOMES = {
    "MobileViTConfig": "config",
    "MobileViTForImageClassification": "classification",
    "MobileViTForSemanticSegmentation": "deeplabv3",
    "MobileViTModel": "mobilevit",
    "TFMobileViTForImageClassification": "keras",
    "TFMobileViTForSemanticSegmentation": "keras",
    "TFMobileViTModel": "keras",
}

__all__ = [
    "MobileViTConfig",
    "MobileViTForImageClassification",
    "MobileViTForSemanticSegmentation",
    "MobileViTModel",
    "TFMobileViTForImageClassification",
    "TFMobileViTForSemanticSegmentation",
    "TFMobileViTModel",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
