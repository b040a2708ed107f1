from __future__ import annotations

from pathlib import Path

import pytest
import skimage.data
from PIL import Image

PHOTOGRAPHS = Path(skimage.data.__path__[0])


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image.Image]:
    """Real photographs by name, all RGB, of different sizes and shapes."""
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    return {name: Image.open(PHOTOGRAPHS / name).convert("RGB") for name in names}


@pytest.fixture(scope="session")
def photograph(photographs: dict[str, Image.Image]) -> Image.Image:
    """One photograph, 451x300."""
    return photographs["chelsea.png"]
