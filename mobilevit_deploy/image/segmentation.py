"""Segmentation maps in, and class scores back to maps out, as the published image processor has them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image.inputs import each_single, host_array
from mobilevit_deploy.image.loading import opened

if TYPE_CHECKING:
    import torch

UNLABELED = 255
"""The class number that says "no label": the loss ignores it, pictures show it dimmed."""

_ONE_CHANNEL = {"1", "L", "P", "I", "F"}
_REMEDY = "Pass class numbers, one a pixel, as 8-bit grey or palette pictures or (height, width) integers."
_LARGEST = np.iinfo(np.int32).max


def label_maps(maps: Any, pictures: int) -> list[Any]:
    """The single segmentation maps of lists and (B, H, W) batches, as many as there are pictures.

    Raises:
        ImageError: too few, too many, or (H, W, C) arrays.
    """
    _refuse_channels(maps)
    singles = list(each_single(maps, single_ndim=2))
    if len(singles) != pictures:
        raise ImageError(
            f"Segmentation maps: {len(singles)}, pictures: {pictures}.",
            remedy="Pass one (height, width) map for each picture, in order. Several make (B, H, W).",
        )
    return singles


def _refuse_channels(maps: Any) -> None:
    """Tell (H, W, C) from a batch (B, H, W): no map is three pixels wide."""
    if isinstance(maps, list | tuple):
        for one in maps:
            _refuse_channels(one)
    elif getattr(maps, "ndim", 0) == 3 and maps.shape[-1] in (1, 3, 4):
        raise ImageError(
            f"A segmentation map of shape {tuple(maps.shape)} has channels, and classes are no colours.",
            remedy=_REMEDY,
        )


def label_map(source: Any, picture: Image.Image | NDArray[Any]) -> NDArray[np.int32]:
    """Read one segmentation map of one picture.

    Args:
        source: a one-channel Pillow image (of a palette image, the palette's indices), its path or bytes, or
            an (H, W) array or tensor of whole numbers.
        picture: what the map belongs to, upright.

    Returns:
        (H, W) class numbers.

    Raises:
        ImageError: several channels, numbers that are no classes, another size than the picture's.
        TypeError: for what is no map at all.
    """
    classes = _class_numbers(source)
    size = (picture.height, picture.width) if isinstance(picture, Image.Image) else picture.shape[:2]
    if classes.shape != size:
        raise ImageError(
            f"A segmentation map of {classes.shape[1]}x{classes.shape[0]} belongs to no picture of "
            f"{size[1]}x{size[0]}.",
            remedy="Pass the map of the whole picture, upright and before any resizing.",
        )
    return classes


def _class_numbers(source: Any) -> NDArray[np.int32]:
    if isinstance(source, str | os.PathLike | bytes):
        with opened(source) as image:
            return _class_numbers(image)
    if isinstance(source, Image.Image):
        if source.mode not in _ONE_CHANNEL and not source.mode.startswith("I;16"):
            raise ImageError(
                f"A segmentation map of mode {source.mode} has {len(source.getbands())} channels, and "
                "classes are no colours.",
                remedy=_REMEDY,
            )
        source = np.asarray(source)
    numbers = host_array(source)
    if not isinstance(numbers, np.ndarray):
        raise TypeError(
            f"{type(numbers).__name__} is no segmentation map: pass a PIL image, array, tensor, path or bytes"
        )
    if numbers.ndim != 2 or numbers.size == 0:
        raise ImageError(f"An array of shape {numbers.shape} is no segmentation map.", remedy=_REMEDY)
    if not _whole(numbers):
        raise ImageError(
            f"A segmentation map of {numbers.dtype} holds other than whole numbers.", remedy=_REMEDY
        )
    if numbers.min() < 0 or numbers.max() > _LARGEST:
        raise ImageError(
            f"A segmentation map holds {numbers.min():g} to {numbers.max():g}, which are no class numbers.",
            remedy=f"Classes count from 0; pixels without a label are {UNLABELED}.",
        )
    return numbers.astype(np.int32)


def _whole(numbers: NDArray[Any]) -> bool:
    kind = numbers.dtype.kind
    return kind in "biu" or (kind == "f" and np.array_equal(numbers, np.trunc(numbers)))


def reduce_labels(classes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count classes from 0 where 0 meant "no label" (ADE20K does): 0 becomes 255, the others one less."""
    unlabeled = (classes == 0) | (classes == UNLABELED)
    return np.where(unlabeled, np.int32(UNLABELED), classes - 1)


def class_scores(outputs: Any, target_sizes: Any = None) -> Iterator[torch.Tensor]:
    """Logits of each picture, (labels, H, W), bilinearly interpolated to its target size if there are any.

    Args:
        outputs: what a semantic segmenter returned; its ``logits`` are (B, labels, h, w).
        target_sizes: B pairs (height, width), or a (B, 2) tensor or array.

    Raises:
        TypeError: for outputs without logits.
        ValueError: logits of another task, or sizes that do not fit them.
    """
    import torch
    from torch.nn import functional as F

    if not hasattr(outputs, "logits"):
        raise TypeError(
            f"{type(outputs).__name__} has no logits: pass what MobileViTForSemanticSegmentation returned"
        )
    logits = torch.as_tensor(outputs.logits)
    if logits.ndim != 4:
        kind = "are a classifier's" if logits.ndim == 2 else "are no segmenter's"
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} {kind}: MobileViTForSemanticSegmentation gives (batch, "
            "labels, height, width)"
        )
    sizes = [None] * len(logits) if target_sizes is None else _target_sizes(target_sizes, len(logits))
    for scores, size in zip(logits, sizes, strict=True):
        if size is None:
            yield scores
        else:
            yield F.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]


def _target_sizes(target_sizes: Any, pictures: int) -> Sequence[tuple[int, int]]:
    """Check that there is a (height, width) for each picture."""
    sizes = target_sizes.tolist() if hasattr(target_sizes, "tolist") else list(target_sizes)
    if len(sizes) != pictures:
        raise ValueError(
            f"target_sizes holds {len(sizes)} sizes and the logits {pictures} pictures: pass one "
            "(height, width) for each picture"
        )
    for size in sizes:
        if not (
            isinstance(size, Sequence)
            and len(size) == 2
            and all(isinstance(edge, int | np.integer) and edge > 0 for edge in size)
        ):
            raise ValueError(f"target_sizes holds (height, width) pairs of pixels, not {size!r}")
    return [(int(height), int(width)) for height, width in sizes]
