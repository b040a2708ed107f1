"""Colours for classes: any number, always the same, apart for colour-blind eyes too.

The first seven are those of Okabe and Ito (2008), which were chosen by people with and without colour
blindness. Each further one is the candidate that is farthest from all before it, measured in OKLab (Ottosson
2020) for normal, protanope and deuteranope eyes (Machado et al. 2009), whichever sees the least difference.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

_OKABE_ITO = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)

_LIGHTNESS = (0.35, 0.92)
"""In OKLab. Darker or lighter colours are no colours on a photograph."""

_LEAST_CHROMA = 0.06
"""In OKLab. Greys would be taken for the dimmed parts of a picture."""

# How linear RGB looks to eyes that lack one kind of cones (Machado et al. 2009, severity 1).
_SIGHT = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)

_RGB_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_CONES_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def palette(count: int) -> NDArray[np.uint8]:
    """The first ``count`` colours, (count, 3) RGB; a longer palette begins with the shorter ones.

    Beyond some 1,400 they start over.
    """
    candidates = len(_candidates()) + len(_OKABE_ITO)
    # Rounded up, so that a few lengths serve all calls.
    found = _farthest(min(candidates, max(32, 1 << (count - 1).bit_length())))
    return found[np.arange(count) % len(found)]


@lru_cache
def _farthest(count: int) -> NDArray[np.uint8]:
    colours = np.concatenate([np.array(_OKABE_ITO, np.uint8), _candidates()])
    seen = _as_seen(colours)
    chosen = list(range(len(_OKABE_ITO)))
    apart = np.min([_difference(seen, seen[i]) for i in chosen], axis=0)
    while len(chosen) < count:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, _difference(seen, seen[chosen[-1]]))
    return colours[chosen]


@lru_cache
def _candidates() -> NDArray[np.uint8]:
    """An even grid of RGB, without what is too dark, too light or too grey."""
    grid = np.array(list(product(range(0, 256, 23), repeat=3)), np.uint8)
    lightness, *opponents = np.moveaxis(_as_seen(grid)[:, 0], -1, 0)
    usable = (lightness >= _LIGHTNESS[0]) & (lightness <= _LIGHTNESS[1])
    candidates: NDArray[np.uint8] = grid[usable & (np.hypot(*opponents) >= _LEAST_CHROMA)]
    return candidates


def _as_seen(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 3) RGB as (n, 3 kinds of eyes, 3 coordinates of OKLab)."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    sights = np.einsum("kij,nj->nki", _SIGHT, linear).clip(0, 1)
    oklab: NDArray[np.float64] = np.cbrt(sights @ _RGB_TO_CONES.T) @ _CONES_TO_OKLAB.T
    return oklab


def _difference(seen: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """How different each colour looks from another to the eyes that see the least of it."""
    least: NDArray[np.float64] = np.linalg.norm(seen - other, axis=-1).min(axis=-1)
    return least
