"""Labelled pictures of shapes over real photographs: the data set of the bundled demo model.

A picture is a function of (split, index, image_size) alone. Positions and lengths are fractions of the
side, so the same index shows the same scene at every size. Translucent, textured and partly hidden
shapes, clutter and look-alike classes are there on purpose: a set on which the model is always right
hides what a bad export breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mobilevit_deploy.demo.outlines import CLASSES, outline
from mobilevit_deploy.demo.photographs import BACKGROUNDS, Split, background_region

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mobilevit_deploy.demo.outlines import Outline, Polygon

__all__ = ["CLASSES", "Sample", "Split", "generate", "held_out"]

SEED = 20260
OVERSAMPLING = 2
"""Everything is drawn at twice the size and averaged down: smooth edges."""

LARGEST = 0.8
"""Diameter of a shape as a share of the side, at most."""

VISIBLE = 0.93
"""Share of a shape that occluders leave, at least."""


@dataclass(frozen=True)
class Hardness:
    """What makes pictures hard. Between the two ends of the scale each field is interpolated."""

    smallest: float  # diameter as a share of the side, log-uniform from here: small shapes are common
    opacity: float  # at least
    contrast: float  # grey levels, Euclidean over RGB, between shape and background, at least
    relief: float  # grey levels of texture, at most
    clutter: float  # strokes and blobs of no class, at most
    occluders: float  # at most
    blur: float  # standard deviation as a share of the side, at most
    noise: float  # standard deviation in grey levels, at most

    @classmethod
    def at(cls, difficulty: float) -> Hardness:
        """Return the point of the scale from 0, bold shapes, to 1, the data set as it is measured."""
        return cls(*(low + difficulty * (high - low) for low, high in zip(_BOLD, _FULL, strict=True)))


_BOLD = (0.5, 1.0, 150.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_FULL = (0.28, 0.75, 130.0, 20.0, 2.0, 1.0, 0.003, 7.0)

MARGIN = 1 / 18
"""Preprocessing (resize to 288, centre crop 256) cuts this share of the side off every edge."""

TILE = 48
"""Side in pixels of a texture before it is stretched over its shape."""


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        image: RGB, uint8, [height, width, 3].
        label: index into :data:`CLASSES`.
        mask: uint8, [height, width]; ``label + 1`` where the shape is visible, 0 elsewhere.
    """

    image: NDArray[np.uint8]
    label: int
    mask: NDArray[np.uint8]


def generate(index: int, *, split: Split = "train", image_size: int = 256, difficulty: float = 1.0) -> Sample:
    """Draw picture ``index`` of a split; its label is ``index`` modulo the number of classes.

    Args:
        index: any non-negative number; neither split ends.
        split: ``train`` and ``heldout`` share neither random numbers nor regions of photographs.
        image_size: side of the square picture in pixels, 32 or more.
        difficulty: 0, bold close-ups from which a model learns first, to 1, the data set as it is measured.

    Raises:
        ValueError: a negative index, a picture too small to show a shape, or no such difficulty.
    """
    if index < 0 or image_size < 32 or not 0 <= difficulty <= 1:
        raise ValueError(
            f"index must be >= 0, image_size >= 32, difficulty 0 to 1: {index}, {image_size}, {difficulty}"
        )
    hardness = Hardness.at(difficulty)
    rng = np.random.default_rng([SEED, split == "heldout", index])
    label = index % len(CLASSES)
    side = image_size * OVERSAMPLING

    canvas = _photo_crop(rng, split, side)
    _clutter(canvas, hardness, rng)
    shape, centre, radius = _place(outline(label, rng), hardness.smallest, rng)
    coverage = _rasterise(shape, side)
    _fill(canvas, coverage, hardness, rng, split)
    covers = _occluders(centre, radius, hardness, rng)
    visible = _occlude(canvas, coverage, covers, rng, split)
    image = _photograph(canvas.reduce(OVERSAMPLING), hardness, rng)
    mask = np.asarray(visible.reduce(OVERSAMPLING)) > 127
    return Sample(image, label, np.where(mask, np.uint8(label + 1), np.uint8(0)))


def held_out(count: int = 1200, *, image_size: int = 256) -> Iterator[Sample]:
    """Yield the first pictures of the fixed held-out set; the model's accuracy is stated on 1,200."""
    return (generate(index, split="heldout", image_size=image_size) for index in range(count))


def _photo_crop(rng: np.random.Generator, split: Split, side: int) -> Image:
    from PIL.Image import Resampling, Transpose

    region = background_region(BACKGROUNDS[rng.integers(len(BACKGROUNDS))], split)
    crop = rng.uniform(0.6, 1.0) * min(*region.size, 320)
    left, top = rng.uniform(0, region.width - crop), rng.uniform(0, region.height - crop)
    box = (left, top, left + crop, top + crop)
    picture = region.resize((side, side), Resampling.BILINEAR, box=box)
    return picture.transpose(Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else picture


def _clutter(canvas: Image, hardness: Hardness, rng: np.random.Generator) -> None:
    """Draw strokes and irregular blobs, none of which looks like a class."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas, "RGBA")
    side = canvas.width
    for _ in range(rng.integers(round(hardness.clutter) + 1)):
        colour = (*rng.integers(256, size=3).tolist(), int(rng.integers(120, 256)))
        start = rng.uniform(0, 1, 2)
        if rng.random() < 0.5:
            ends = start + np.cumsum(rng.normal(0, 0.12, (3, 2)), axis=0)
            width = max(1, round(side * rng.uniform(0.004, 0.02)))
            draw.line(_pixels(np.vstack([start, ends]), side), fill=colour, width=width, joint="curve")
        else:
            draw.polygon(_pixels(start + _blob(rng) * rng.uniform(0.01, 0.045), side), fill=colour)


def _blob(rng: np.random.Generator) -> Polygon:
    """Return an irregular star-shaped polygon within the unit circle."""
    turn = np.sort(rng.uniform(0, 2 * np.pi, 9))
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) * rng.uniform(0.35, 1.0, (9, 1))


def _place(shape: Outline, smallest: float, rng: np.random.Generator) -> tuple[Outline, Polygon, float]:
    """Turn, stretch and tilt an outline, and put it where preprocessing keeps it."""
    radius = float(np.exp(rng.uniform(np.log(smallest), np.log(LARGEST)))) / 2
    reach = MARGIN + 0.9 * radius
    centre = rng.uniform(reach, 1 - reach, 2)
    turn, lean = rng.uniform(0, 2 * np.pi, 2)
    stretch = np.diag([1.0, rng.uniform(0.9, 1.0)])
    matrix = _rotation(lean) @ stretch @ _rotation(turn)
    tilt = rng.uniform(-0.08, 0.08, 2)

    def placed(polygon: Polygon) -> Polygon:
        flat: Polygon = polygon @ matrix.T
        near: Polygon = flat / (1 + flat @ tilt)[:, None]
        return centre + radius * near

    filled, hole = shape
    return (placed(filled), None if hole is None else placed(hole)), centre, radius


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _pixels(polygon: Polygon, side: int) -> list[tuple[float, float]]:
    return [(x, y) for x, y in (polygon * side).tolist()]


def _rasterise(shape: Outline, side: int) -> Image:
    from PIL import Image, ImageDraw

    coverage = Image.new("L", (side, side))
    draw = ImageDraw.Draw(coverage)
    filled, hole = shape
    draw.polygon(_pixels(filled, side), fill=255)
    if hole is not None:
        draw.polygon(_pixels(hole, side), fill=0)
    return coverage


def _fill(canvas: Image, coverage: Image, hardness: Hardness, rng: np.random.Generator, split: Split) -> None:
    """Blend a textured shape into the canvas, faint perhaps but never invisible."""
    from PIL.Image import Resampling

    opacity = rng.uniform(hardness.opacity, 1.0)
    box = coverage.getbbox()
    assert box is not None, "the smallest shape covers several pixels"
    under = np.asarray(canvas.resize((8, 8), Resampling.BOX, box=box), np.float64).reshape(-1, 3)
    colour = _distinct_colour(rng, under.mean(axis=0), hardness.contrast / opacity)
    tile = _texture(rng, colour, hardness.relief, split).resize(
        (box[2] - box[0], box[3] - box[1]), Resampling.BILINEAR
    )
    faint = coverage.crop(box).point(lambda value: value * opacity)
    canvas.paste(tile, box, faint)


def _distinct_colour(rng: np.random.Generator, under: Polygon, distance: float) -> Polygon:
    """Return the first random colour that is ``distance`` from what lies under it, or else the farthest."""
    colours = rng.uniform(0, 255, (24, 3))
    away = np.linalg.norm(colours - under, axis=1)
    chosen: Polygon = colours[np.argmax(away >= distance) if (away >= distance).any() else np.argmax(away)]
    return chosen


def _texture(rng: np.random.Generator, colour: Polygon, strongest: float, split: Split) -> Image:
    """Return a tile around ``colour``: flat, gradient, stripes, noise, or a photograph's relief."""
    from PIL import Image

    kind = rng.choice(["flat", "gradient", "stripes", "noise", "photograph"])
    across, down = rng.normal(size=2)
    ramp = np.linspace(-1, 1, TILE)[None, :] * across + np.linspace(-1, 1, TILE)[:, None] * down
    relief = np.zeros((TILE, TILE, 1))
    if kind == "gradient":
        relief = ramp[..., None]
    elif kind == "stripes":
        relief = np.sign(np.sin(ramp * rng.uniform(4, 14)))[..., None]
    elif kind == "noise":
        grain = int(rng.integers(4, TILE))
        relief = np.resize(rng.normal(size=(grain, grain, 3)), (TILE, TILE, 3))
    elif kind == "photograph":
        cut = np.asarray(_photo_crop(rng, split, TILE), np.float64)
        relief = (cut - cut.mean(axis=(0, 1))) / 40
    tile = colour + relief * rng.uniform(strongest / 4, strongest)
    return Image.fromarray(tile.clip(0, 255).astype(np.uint8))


def _occluders(
    centre: Polygon, radius: float, hardness: Hardness, rng: np.random.Generator
) -> Iterator[Polygon]:
    """Yield bars, blobs and rectangles around the rim of a shape, where they hide corners."""
    rectangle = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for _ in range(rng.integers(round(hardness.occluders) + 1)):
        at = centre + radius * rng.normal(0, 0.6, 2)
        kind = rng.choice(["bar", "blob", "rectangle"])
        if kind == "bar":
            bar = rectangle * [3.0, rng.uniform(0.06, 0.14)]
            yield at + radius * bar @ _rotation(rng.uniform(0, np.pi))
        elif kind == "blob":
            yield at + radius * _blob(rng) * rng.uniform(0.3, 0.6)
        else:
            yield at + radius * rectangle * rng.uniform(0.12, 0.4, 2)


def _occlude(
    canvas: Image, coverage: Image, covers: Iterator[Polygon], rng: np.random.Generator, split: Split
) -> Image:
    """Paint over the shape, plainly or with a photograph; return what of ``coverage`` stays visible."""
    from PIL import Image, ImageChops, ImageDraw

    visible = coverage
    area = np.count_nonzero(np.asarray(coverage))
    for cover in covers:
        paint = _photo_crop(rng, split, TILE).resize(canvas.size) if rng.random() < 0.3 else None
        colour = tuple(rng.integers(256, size=3).tolist())
        hidden = Image.new("L", canvas.size)
        ImageDraw.Draw(hidden).polygon(_pixels(cover, canvas.width), fill=255)
        left = ImageChops.subtract(visible, hidden)
        if np.count_nonzero(np.asarray(left)) >= VISIBLE * area:
            visible = left
            canvas.paste(paint or colour, (0, 0), hidden)
    return visible


def _photograph(scene: Image, hardness: Hardness, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take the picture with an imperfect camera: blur, gain per channel, offset, sensor noise."""
    from PIL import ImageFilter

    blur = rng.uniform(0, hardness.blur) * scene.width
    gain, offset, noise = rng.uniform(0.75, 1.2, 3), rng.uniform(-20, 20), rng.uniform(0, hardness.noise)
    sharp = rng.random() < 0.5
    pixels = np.asarray(scene if sharp else scene.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    # The only draw whose count depends on the size; last, so that scenes agree across sizes.
    grain = rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32) * np.float32(noise)
    pixels = pixels * gain.astype(np.float32) + np.float32(offset) + grain
    return pixels.clip(0, 255).astype(np.uint8)
