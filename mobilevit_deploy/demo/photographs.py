"""Photographs in scikit-image's wheel: backgrounds of the demo data set and inputs of parity checks."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mobilevit_deploy.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "heldout"]

PARITY_PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""Colour and grey, landscape and square, 300 to 1,411 pixels a side."""

# Without coins and retina: they are full of circles, which are a class of the demo data set.
BACKGROUNDS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "rocket.jpg",
)

TRAIN_SHARE = 2 / 3
"""Training sees the left two thirds of every photograph, held-out pictures the right third."""


def photograph_path(name: str) -> Path:
    """Return where scikit-image keeps the photograph ``name``, without importing scikit-image.

    Raises:
        ImageError: scikit-image is missing, or its wheel has no such file.
    """
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ImageError(
            "scikit-image, whose photographs are used here, is not installed.",
            remedy="Run: pip install scikit-image",
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise ImageError(
            f"scikit-image's photograph {path} is missing.",
            remedy="Reinstall it: pip install --force-reinstall --no-deps scikit-image",
        )
    return path


def parity_photographs() -> list[Path]:
    """Return a dozen real photographs, colour and grey, for parity checks; nothing is downloaded.

    Raises:
        ImageError: scikit-image is missing, or its wheel lacks one of them.
    """
    return [photograph_path(name) for name in PARITY_PHOTOGRAPHS]


@functools.cache
def background_region(name: str, split: Split) -> Image:
    """Return the part of a photograph that ``split`` may show, as an RGB picture."""
    from PIL import Image

    with Image.open(photograph_path(name)) as file:
        photograph = file.convert("RGB")
    width, height = photograph.size
    border = round(width * TRAIN_SHARE)
    return photograph.crop((0, 0, border, height) if split == "train" else (border, 0, width, height))
