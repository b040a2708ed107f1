"""Pictures in, ``pixel_values`` out: loading, the published image processor, and what a manifest says of it.

And back again: ``mask_to_picture``, and ``overlay`` in the module of that name.

The names are imported on first use: importing this package brings in neither numpy, Pillow nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilevit_deploy.image.inverse import mask_to_picture as mask_to_picture
    from mobilevit_deploy.image.loading import load_image as load_image
    from mobilevit_deploy.image.processor import MobileViTFeatureExtractor as MobileViTFeatureExtractor
    from mobilevit_deploy.image.processor import MobileViTImageProcessor as MobileViTImageProcessor
    from mobilevit_deploy.image.spec import PreprocessSpec as PreprocessSpec

_HOME = {
    "MobileViTFeatureExtractor": "mobilevit_deploy.image.processor",
    "MobileViTImageProcessor": "mobilevit_deploy.image.processor",
    "PreprocessSpec": "mobilevit_deploy.image.spec",
    "load_image": "mobilevit_deploy.image.loading",
    "mask_to_picture": "mobilevit_deploy.image.inverse",
}

__all__ = [
    "MobileViTFeatureExtractor",
    "MobileViTImageProcessor",
    "PreprocessSpec",
    "load_image",
    "mask_to_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
