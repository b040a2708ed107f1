"""A picture with its classes coloured in, outlined, and named in a legend."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image.arrays import levels_from_float
from mobilevit_deploy.image.inputs import ImageInput, usable_picture
from mobilevit_deploy.image.legend import Entry, with_legend
from mobilevit_deploy.image.palette import palette
from mobilevit_deploy.image.segmentation import UNLABELED, label_map

LONGER_EDGE = (640, 1280)
"""Smaller pictures are enlarged to the first, larger ones reduced to the second: a phone shows no more."""

_OPACITY = 0.55
_DIMMED = 0.35  # of the brightness
_OUTLINES_PER_EDGE = 213
_THREADS_PER_EDGE = 640

Colour = tuple[int, int, int]


def overlay(
    picture: str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8],
    mask: ImageInput,
    labels: Sequence[str],
) -> Image.Image:
    """Colour the classes of a mask over the picture that it belongs to, with a legend below or beside.

    A class has the same colour in all pictures, whatever else they show; the first class stays clear if its
    label is "background". Pixels without a label, such as what the crop cut off, are dimmed. The legend lists
    the classes that are there and their shares of the labeled pixels, the largest first. It is written with
    Pillow's own font, which has Latin letters.

    Args:
        picture: any picture that ``load_image`` takes, or an array.
        mask: (height, width) class numbers, 255 for "no label", for all of the upright picture:
            ``mask_to_picture`` makes it from a mask of the model's input. Pictures and files of masks do too.
        labels: the names of at most 255 classes, in order.

    Returns:
        An RGB image; the picture itself is enlarged or reduced to a longer edge of 640 to 1280 pixels.

    Raises:
        ImageError: for what is no usable picture, a mask of another size, or classes without a label.
    """
    pixels = usable_picture(picture)
    rgb = pixels if isinstance(pixels, Image.Image) else Image.fromarray(levels_from_float(pixels)[0])
    classes = _checked(label_map(mask, rgb), labels)
    colours = _class_colours(labels)
    factor = float(np.clip(max(rgb.size), *LONGER_EDGE)) / max(rgb.size)
    size = (max(1, round(rgb.width * factor)), max(1, round(rgb.height * factor)))
    painted = _paint(
        np.asarray(rgb.resize(size, Image.Resampling.BICUBIC)),
        np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST)),
        colours,
    )
    return with_legend(painted, _entries(classes, labels, colours))


def _checked(classes: NDArray[np.int32], labels: Sequence[str]) -> NDArray[np.uint8]:
    """Make sure that every class has a label."""
    if len(labels) > UNLABELED:
        raise ImageError(
            f"{len(labels)} classes cannot be told apart in a picture.",
            remedy=f"Reduce them to at most {UNLABELED}.",
        )
    beyond = classes[(classes >= len(labels)) & (classes != UNLABELED)]
    if beyond.size:
        raise ImageError(
            f"The mask holds class {beyond[0]}, and there are labels for {len(labels)} classes, from 0.",
            remedy=f"Pass the labels of the model that made the mask; {UNLABELED} means no label.",
        )
    return classes.astype(np.uint8)


def _class_colours(labels: Sequence[str]) -> list[Colour | None]:
    """The colour of each class; None for a clear background."""
    clear = bool(labels) and labels[0].strip().casefold() == "background"
    colours: list[Colour | None] = [(red, green, blue) for red, green, blue in palette(len(labels)).tolist()]
    return [None, *colours[:-1]] if clear else colours


def _paint(
    pixels: NDArray[np.uint8], classes: NDArray[np.uint8], colours: Sequence[Colour | None]
) -> Image.Image:
    """Blend each class's colour into its pixels, and draw it in full along their outlines."""
    paint = np.zeros((UNLABELED + 1, 3), np.float32)
    opacity = np.zeros(UNLABELED + 1, np.float32)
    opacity[UNLABELED] = 1 - _DIMMED
    for number, colour in enumerate(colours):
        if colour is not None:
            paint[number], opacity[number] = colour, _OPACITY
    coverage = opacity[classes]
    coloured = (coverage > 0) & (classes != UNLABELED)
    edge = max(classes.shape)
    coverage[coloured & _near_another_class(classes, edge // _OUTLINES_PER_EDGE)] = 1
    blended = pixels + (paint[classes] - pixels) * coverage[..., None]
    # Around the outline, so that it can be seen on a ground of its own colour.
    blended[~coloured & _near_another_class(classes, edge // _THREADS_PER_EDGE)] = 255
    return Image.fromarray(blended.round().astype(np.uint8))


def _near_another_class(classes: NDArray[np.uint8], distance: int) -> NDArray[np.bool_]:
    """Pixels with another class at most ``distance`` away in their row or column."""
    near = np.zeros(classes.shape, np.bool_)
    for numbers, found in ((classes, near), (classes.T, near.T)):
        for step in range(1, min(distance, len(numbers) - 1) + 1):
            changes = numbers[step:] != numbers[:-step]
            found[step:] |= changes
            found[:-step] |= changes
    return near


def _entries(
    classes: NDArray[np.uint8], labels: Sequence[str], colours: Sequence[Colour | None]
) -> list[Entry]:
    """The legend's lines: classes by share, then a clear background, then what has no label."""
    counts = Image.fromarray(classes).histogram()
    labeled = sum(counts[:UNLABELED])
    present = [number for number in range(len(labels)) if counts[number]]
    present.sort(key=lambda number: (colours[number] is None, -counts[number]))
    entries = [Entry(labels[i], colours[i], _share(counts[i] / labeled)) for i in present]
    if counts[UNLABELED]:
        entries.append(Entry("no label", (64, 64, 64), ""))
    return entries


def _share(fraction: float) -> str:
    return "< 0.1 %" if fraction < 0.001 else f"{100 * fraction:.1f} %"
