"""The TensorFlow twins: the three models in Keras 3, with the weights of the one reference.

Importing this package imports tensorflow, which the extra ``tf`` brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mobilevit_deploy.model.keras.runtime import require_tensorflow

require_tensorflow()

from mobilevit_deploy.model.keras.classification import TFMobileViTForImageClassification  # noqa: E402
from mobilevit_deploy.model.keras.deeplabv3 import TFMobileViTForSemanticSegmentation  # noqa: E402
from mobilevit_deploy.model.keras.mobilevit import TFMobileViTModel  # noqa: E402

if TYPE_CHECKING:
    from mobilevit_deploy.model.graph import Model
    from mobilevit_deploy.model.keras.head import TFMobileViTWithHead

__all__ = [
    "TFMobileViTForImageClassification",
    "TFMobileViTForSemanticSegmentation",
    "TFMobileViTModel",
    "twin_of",
]


def twin_of(reference: Model) -> TFMobileViTWithHead:
    """The Keras model that computes what a PyTorch model with a head computes, with a copy of its weights.

    Raises:
        TypeError: ``reference`` is no model with a head.
    """
    kinds: tuple[type[TFMobileViTWithHead], ...] = (
        TFMobileViTForImageClassification,
        TFMobileViTForSemanticSegmentation,
    )
    for kind in kinds:
        if type(reference) is kind.reference:
            return kind.from_reference(reference)
    raise TypeError(f"There is no TensorFlow twin of {type(reference).__name__} with a head.")
