"""Inputs of a parity check: what a phone's camera sees, and the edges of what it can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.image.spec import PreprocessSpec

GENERATED = 8
"""Generated pictures in a check, the first of the held-out split."""


@dataclass(frozen=True)
class Case:
    """One input: ``pixel_values`` is float32 (1, 3, height, width), as preprocessing leaves it."""

    name: str
    pixel_values: NDArray[Any]


def parity_cases(preprocess: PreprocessSpec) -> list[Case]:
    """Real photographs, generated pictures, all black, all white, and saturated noise, preprocessed."""
    import numpy as np

    from mobilevit_deploy.demo import parity_photographs
    from mobilevit_deploy.demo.shapes import generate
    from mobilevit_deploy.image import load_image

    cases = [Case(path.stem, preprocess.apply(load_image(path))) for path in parity_photographs()]
    cases += [
        Case(f"generated-{i}", preprocess.apply(generate(i, split="heldout").image)) for i in range(GENERATED)
    ]
    shape = cases[0].pixel_values.shape
    noise = np.random.default_rng(0).integers(0, 2, size=shape)
    synthetic = {"black": np.zeros(shape), "white": np.ones(shape), "saturated-noise": noise}
    return cases + [Case(name, pixels.astype(np.float32)) for name, pixels in synthetic.items()]
