"""Arrays of numbers as pictures: channel order, data types and value ranges."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilevit_deploy.errors import ImageError

_AS_8_BIT = "Pass grey levels 0..255 as uint8, or floats in 0..1."


def channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """View an (H, W), (H, W, C) or (C, H, W) array as (H, W, C), with C of 1, 3 or 4.

    Where both ends could be the channels, three channels win over one or four, and then the first axis, as in
    the published processor.

    Raises:
        ImageError: for another number of axes or channels, or no pixels at all.
    """
    shape = array.shape
    if 0 in shape:
        raise ImageError(f"An array of shape {shape} has no pixels.", remedy="Pass another picture.")
    if array.ndim == 2:
        return array[..., None]
    if array.ndim == 3:
        if shape[0] == shape[2] == 3:
            warnings.warn(
                f"An array of shape {shape} may have its channels first or last; they are taken to be first. "
                "Pass a PIL image to leave no doubt.",
                stacklevel=4,  # the caller of MobileViTImageProcessor.preprocess
            )
        if shape[0] == 3 or (shape[0] in (1, 4) and shape[2] != 3):
            return np.moveaxis(array, 0, -1)
        if shape[2] in (1, 3, 4):
            return array
    raise ImageError(
        f"An array of shape {shape} is no picture.",
        remedy="Pass (height, width, channels) or (channels, height, width), with 1, 3 or 4 channels.",
    )


def levels_from_integer(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels 0..255 of booleans (black, white), uint16 (its whole range scaled down) or small integers.

    Raises:
        ImageError: for integers of another type outside 0..255.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.min() < 0 or array.max() > 255:
        raise ImageError(
            f"Integers ({array.dtype}) from {array.min()} to {array.max()} are no grey levels.",
            remedy=_AS_8_BIT,
        )
    return array.astype(np.uint8)


def levels_from_float(array: NDArray[np.floating[Any]]) -> tuple[NDArray[np.uint8], float]:
    """Grey levels 0..255 of floats in 0..1 or in 0..255, and the factor that leads back to their own range.

    Fractions of a level are dropped, as the published processor does before it resizes.

    Raises:
        ImageError: for values outside both ranges, NaN and infinity among them.
    """
    require_finite(array)
    if is_unit_range(array):
        return (array.astype(np.float64) * 255).astype(np.float32).astype(np.uint8), 1 / 255
    if array.min() < 0 or array.max() > 255:
        raise ImageError(
            f"Floats from {array.min():g} to {array.max():g} cannot be resized as a picture.",
            remedy=f"{_AS_8_BIT} Normalised values need do_resize=False.",
        )
    return array.astype(np.uint8), 1.0


def is_unit_range(array: NDArray[np.floating[Any]]) -> bool:
    """Whether floats mean 0..1, not 0..255. Whole numbers are grey levels, as in the published processor."""
    within = bool(array.min() >= 0 and array.max() <= 1)
    return within and not np.array_equal(array, np.trunc(array))


def require_finite(array: NDArray[np.floating[Any]]) -> None:
    """Refuse NaN and infinity with an ``ImageError``."""
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise ImageError(
            f"{bad} of the {array.size} pixel values are NaN or infinite.",
            remedy="Mend what made the array, or replace them, for instance with numpy.nan_to_num.",
        )


def rgb_from_float(array: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Make (H, W, 1) and (H, W, 4) floats (H, W, 3): grey is repeated, transparency laid over white.

    Raises:
        ImageError: for NaN or infinity.
    """
    require_finite(array)
    if array.shape[-1] == 1:
        return np.repeat(array, 3, axis=-1)
    if array.shape[-1] == 3:
        return array
    white = 1.0 if is_unit_range(array) else 255.0
    alpha = array[..., 3:] / white
    opaque: NDArray[np.floating[Any]] = array[..., :3] * alpha + white * (1 - alpha)
    return opaque
