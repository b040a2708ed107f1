"""Inputs of a parity check: what a phone's camera sees, and the edges of what it can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from mobilevit_deploy.image.spec import PreprocessSpec

EXTREMES = ("black", "white", "saturated-noise")
"""Inputs that no camera gives: they leave the ranges that activations in 8 bits were calibrated on."""

GENERATED = 8
"""Generated pictures in a check, the first of the held-out split."""


@dataclass(frozen=True)
class Case:
    """One input: an RGB picture, from which reference and artifact are each fed by their own rules."""

    name: str
    picture: Image


def parity_cases(preprocess: PreprocessSpec) -> list[Case]:
    """Real photographs, generated pictures, all black, all white, and saturated noise.

    The last three have the size at which ``preprocess`` does not resize, which would blur the noise.
    """
    import numpy as np
    from PIL import Image

    from mobilevit_deploy.demo import parity_photographs
    from mobilevit_deploy.demo.shapes import generate
    from mobilevit_deploy.image import load_image

    cases = [Case(path.stem, load_image(path)) for path in parity_photographs()]
    cases += [
        Case(f"generated-{i}", Image.fromarray(generate(i, split="heldout").image)) for i in range(GENERATED)
    ]
    shape = (*_size_left_alone(preprocess), 3)
    noise = np.random.default_rng(0).integers(0, 2, size=shape) * 255
    levels = (np.zeros(shape), np.full(shape, 255), noise)
    return cases + [
        Case(name, Image.fromarray(array.astype(np.uint8)))
        for name, array in zip(EXTREMES, levels, strict=True)
    ]


def _size_left_alone(preprocess: PreprocessSpec) -> tuple[int, int]:
    """Height and width of a picture that is not resized."""
    edge = preprocess.resize_shortest_edge
    size = preprocess.resize_to or ((edge, edge) if edge is not None else preprocess.crop)
    assert size is not None, "a graph's input has a fixed size"
    return size
