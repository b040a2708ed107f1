"""The TensorFlow twins: the three models in Keras 3, with the weights of the one reference.

Importing this package imports tensorflow, which the extra ``tf`` brings.
"""

from __future__ import annotations

from mobilevit_deploy.model.keras.runtime import require_tensorflow

require_tensorflow()

from mobilevit_deploy.model.keras.classification import TFMobileViTForImageClassification  # noqa: E402
from mobilevit_deploy.model.keras.deeplabv3 import TFMobileViTForSemanticSegmentation  # noqa: E402
from mobilevit_deploy.model.keras.mobilevit import TFMobileViTModel  # noqa: E402

__all__ = ["TFMobileViTForImageClassification", "TFMobileViTForSemanticSegmentation", "TFMobileViTModel"]
