"""Colours for classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import rgb2lab

from mobilevit_deploy.image.palette import palette

# Deuteranopia as Viénot, Brettel and Mollon (1999) simulate it: another source than the palette's own.
_CONES = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
) / 100  # fmt: skip
_NO_GREEN = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])


def deuteranope(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    linear = (colours / 255) ** 2.2
    seen = linear @ (np.linalg.inv(_CONES) @ _NO_GREEN @ _CONES).T
    return np.asarray(seen.clip(0, 1) ** (1 / 2.2))


def closest(rgb: NDArray[np.float64]) -> float:
    """The least difference (CIE76) of two colours."""
    lab = rgb2lab(rgb[None])[0]
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    return float(apart[~np.eye(len(lab), dtype=bool)].min())


def test_is_always_the_same() -> None:
    assert palette(3).tolist() == [[230, 159, 0], [86, 180, 233], [0, 158, 115]]
    assert np.array_equal(palette(255)[:20], palette(20))
    assert palette(20)[7:].tolist() == palette(100)[7:20].tolist()
    assert palette(0).shape == (0, 3)


@pytest.mark.parametrize("count", [1, 21, 150, 255, 1000])
def test_no_colour_comes_twice(count: int) -> None:
    colours = palette(count)
    assert colours.shape == (count, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == count


def test_there_are_colours_for_any_number() -> None:
    assert palette(5000).shape == (5000, 3)


@pytest.mark.parametrize(("count", "difference"), [(8, 25), (20, 15)])
def test_can_be_told_apart(count: int, difference: float) -> None:
    """A difference of 2.3 is just noticeable."""
    assert closest(palette(count) / 255) > difference


@pytest.mark.parametrize(("count", "difference"), [(8, 15), (20, 12)])
def test_can_be_told_apart_by_the_colour_blind(count: int, difference: float) -> None:
    assert closest(deuteranope(palette(count))) > difference
