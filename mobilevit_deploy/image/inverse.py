"""From the model's input back to the picture: preprocessing's geometry, read backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilevit_deploy.image.resize import crop_start, resized_size
from mobilevit_deploy.image.segmentation import UNLABELED
from mobilevit_deploy.image.spec import PreprocessSpec, Size


def mask_to_picture(mask: NDArray[Any], spec: PreprocessSpec, picture_size: Size) -> NDArray[np.int32]:
    """Lay a mask of the model's input over the picture that the input was made from.

    Resizing and cropping are undone: each pixel of the picture takes the class of the mask's pixel that its
    centre falls into. What the crop cut off was never seen, and is :data:`UNLABELED`.

    Args:
        mask: (h, w) class numbers over the whole input. The input may have more pixels, where the mask comes
            from logits that were not interpolated.
        spec: what was done to the picture.
        picture_size: its (height, width), upright.

    Returns:
        (height, width) class numbers.

    Raises:
        ValueError: for a mask that is not (h, w), or a picture without pixels.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask is (height, width), not of shape {mask.shape}")
    if min(picture_size) < 1:
        raise ValueError(f"a picture of {picture_size} has no pixels")
    resized = _resized(spec, picture_size)
    cropped = spec.crop or resized
    rows, columns = (
        _source_pixels(*axis) for axis in zip(picture_size, resized, cropped, mask.shape, strict=True)
    )
    seen = (rows >= 0)[:, None] & (columns >= 0)
    return np.where(seen, mask[rows[:, None], columns], UNLABELED).astype(np.int32)


def _resized(spec: PreprocessSpec, picture_size: Size) -> Size:
    if spec.resize_shortest_edge is not None:
        return resized_size(*picture_size, {"shortest_edge": spec.resize_shortest_edge})
    return spec.resize_to or picture_size


def _source_pixels(picture: int, resized: int, cropped: int, mask: int) -> NDArray[np.intp]:
    """Along one axis: which pixel of the mask lies over each pixel of the picture; -1 where none does.

    A centre lies at (x + 1/2) * resized / picture in the resized picture, crop_start less in the crop, and
    there are mask / cropped pixels of the mask to one of the crop. Multiplied out, all are whole numbers.
    """
    doubled_centres = 2 * np.arange(picture, dtype=np.int64) + 1
    in_crop = doubled_centres * resized - 2 * picture * crop_start(resized, cropped)
    pixels = in_crop * mask // (2 * picture * cropped)
    return np.where((pixels >= 0) & (pixels < mask), pixels, -1)
