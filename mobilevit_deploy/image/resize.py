"""The geometry of preprocessing: resize, then crop the centre, without a giant in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.errors import ImageError

SizeInput: TypeAlias = int | Sequence[int] | Mapping[str, int]

# 268 MB as Pillow holds it. Only pictures narrower than 1:800 become so large on the way to a crop of 256.
MAX_RESIZED_PIXELS = 2**26


def resized_size(height: int, width: int, size: Mapping[str, int]) -> tuple[int, int]:
    """Height and width after resizing by ``{"shortest_edge": n}`` or ``{"height": h, "width": w}``.

    The longer edge is rounded down, as in the published processor.
    """
    if "shortest_edge" not in size:
        return size["height"], size["width"]
    edge = size["shortest_edge"]
    if width <= height:
        return int(edge * height / width), edge
    return edge, int(edge * width / height)


def resize(
    picture: Image.Image, size: Mapping[str, int], resample: int, crop: tuple[int, int] | None
) -> NDArray[Any]:
    """Resize, then cut (height, width) out of the centre if ``crop`` is given.

    A strip such as 10000x1 would grow to a billion pixels of which the crop keeps a few, so of such a picture
    only the part within the crop is resized. Only of such: a part rounds otherwise than the whole.

    Returns:
        (H, W, 3) grey levels of an RGB picture, (H, W) numbers of a segmentation map.

    Raises:
        ImageError: if what remains is itself too large.
    """
    height, width = resized_size(picture.height, picture.width, size)
    rows, columns = (height, width) if crop is None else (min(height, crop[0]), min(width, crop[1]))
    if rows * columns > MAX_RESIZED_PIXELS:
        raise ImageError(
            f"A picture of {picture.width}x{picture.height} would be resized to {columns}x{rows} pixels.",
            remedy="Cut it to a more even shape, choose a smaller size, or keep do_center_crop on.",
        )
    if height * width <= MAX_RESIZED_PIXELS:
        resized = picture.resize((width, height), resample)
    else:
        top, left = crop_start(height, rows), crop_start(width, columns)
        down, across = picture.height / height, picture.width / width
        box = (left * across, top * down, (left + columns) * across, (top + rows) * down)
        resized = picture.resize((columns, rows), resample, box=box)
    levels = np.asarray(resized)
    return levels if crop is None else center_crop(levels, crop)


def center_crop(pixels: NDArray[Any], crop: tuple[int, int]) -> NDArray[Any]:
    """Cut (height, width) out of the centre of (H, W, ...) pixels; what is too small is surrounded by zeros.

    An odd pixel to spare is left at the bottom and right; an odd pixel of padding goes to the top and left.
    """
    (rows, into_rows), (columns, into_columns) = map(_overlap, pixels.shape[:2], crop)
    cropped = np.zeros((*crop, *pixels.shape[2:]), pixels.dtype)
    cropped[into_rows, into_columns] = pixels[rows, columns]
    return cropped


def crop_start(have: int, want: int) -> int:
    """Where along an axis the centre crop begins; negative where it begins before the picture does."""
    return (have - want) // 2


def _overlap(have: int, want: int) -> tuple[slice, slice]:
    """Along one axis: the part of the picture that is seen, and where in the crop it lands."""
    start = crop_start(have, want)
    seen = min(have, want)
    return slice(max(start, 0), max(start, 0) + seen), slice(max(-start, 0), max(-start, 0) + seen)


def resize_target(size: SizeInput) -> dict[str, int]:
    """Check what a processor shall resize to; an int is the shortest edge, a pair (height, width).

    Raises:
        ValueError: for what is no size.
    """
    if isinstance(size, int):
        size = {"shortest_edge": size}
    return _edges("size", size, ({"shortest_edge"}, {"height", "width"}))


def crop_target(size: SizeInput) -> dict[str, int]:
    """Check what a processor shall crop to; an int is a square, a pair (height, width).

    Raises:
        ValueError: for what is no size.
    """
    if isinstance(size, int):
        size = {"height": size, "width": size}
    return _edges("crop_size", size, ({"height", "width"},))


def _edges(field: str, size: Any, allowed: Sequence[set[str]]) -> dict[str, int]:
    """Check a size, and give a pair its names."""
    if isinstance(size, list | tuple) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if not isinstance(size, Mapping) or set(size) not in allowed:
        forms = " or ".join(str(sorted(keys)) for keys in allowed)
        raise ValueError(f"{field} is an int, a (height, width) pair or a dict of {forms}, not {size!r}")
    if not all(isinstance(edge, int) and edge > 0 for edge in size.values()):
        raise ValueError(f"{field} counts pixels, so {dict(size)} makes no sense")
    return dict(size)
