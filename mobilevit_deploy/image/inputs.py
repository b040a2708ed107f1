"""What users pass as pictures, single or in batches, brought into the two forms that are processed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image.arrays import channels_last, levels_from_integer, rgb_from_float
from mobilevit_deploy.image.loading import load_image

if TYPE_CHECKING:
    import torch

ImageInput: TypeAlias = Union[
    Image.Image, "NDArray[Any]", "torch.Tensor", str, os.PathLike[str], bytes, "Sequence[ImageInput]"
]


def each_single(inputs: Any, *, single_ndim: int) -> Iterator[Any]:
    """The single pictures or maps of lists and batches, in order.

    Args:
        inputs: one of them, an array or tensor with one more axis in front, or lists of these.
        single_ndim: the axes of an array that is a single one.
    """
    if isinstance(inputs, list | tuple):
        if not inputs:
            raise ValueError("there is no picture in the list")
        for one in inputs:
            yield from each_single(one, single_ndim=single_ndim)
    elif (_is_tensor(inputs) or isinstance(inputs, np.ndarray)) and inputs.ndim == single_ndim + 1:
        yield from inputs
    else:
        yield inputs


def host_array(value: Any) -> Any:
    """A tensor's numbers as a numpy array; whatever else it is stays what it is."""
    if not _is_tensor(value):
        return value
    host = value.detach().cpu()
    return (host.float() if host.is_floating_point() else host).numpy()  # numpy knows no bfloat16


def _is_tensor(value: Any) -> TypeGuard[torch.Tensor]:
    """Whether this is a torch tensor, without importing torch: who has a tensor has imported it."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def usable_picture(image: Any) -> Image.Image | NDArray[np.floating[Any]]:
    """An 8-bit RGB image; or (H, W, 3) floats, whose precision would be lost by making them one.

    Raises:
        ImageError: for pictures that cannot be read or used.
        TypeError: for what is no picture at all.
    """
    if isinstance(image, Image.Image | str | os.PathLike | bytes):
        return load_image(image)
    image = host_array(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"{type(image).__name__} is no picture: pass a PIL image, array, tensor, path or bytes"
        )
    pixels = channels_last(image)
    if pixels.dtype.kind == "f":
        return rgb_from_float(pixels)
    if pixels.dtype.kind not in "biu":
        raise ImageError(
            f"An array of {pixels.dtype} is no picture.", remedy="Pass integers, floats or booleans."
        )
    levels = np.ascontiguousarray(levels_from_integer(pixels))
    return load_image(Image.fromarray(levels.squeeze(-1) if levels.shape[-1] == 1 else levels))
