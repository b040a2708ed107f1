"""The twelve classes of the demo data set as polygons in a circle of radius 1 around the origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Polygon = NDArray[np.float64]  # [n, 2]: x to the right, y down
    Outline = tuple[Polygon, Polygon | None]  # what is filled, and what is cut out of it

ROUND = 72
"""Corners of a polygon that stands for a circle: no corner shows at 288 pixels."""


def _regular(corners: int) -> Polygon:
    turn = np.linspace(0.0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.sin(turn), -np.cos(turn)], axis=1)


def _circle(_: np.random.Generator) -> Outline:
    return _regular(ROUND), None


def _ellipse(rng: np.random.Generator) -> Outline:
    # Perspective and stretch leave a circle within 1 : 1.25 (shapes.py), so the two classes do not meet.
    return _regular(ROUND) * [1.0, 1 / rng.uniform(1.5, 2.0)], None


def _triangle(_: np.random.Generator) -> Outline:
    return _regular(3), None


def _square(_: np.random.Generator) -> Outline:
    return _regular(4), None


def _pentagon(_: np.random.Generator) -> Outline:
    return _regular(5), None


def _hexagon(_: np.random.Generator) -> Outline:
    return _regular(6), None


def _star(rng: np.random.Generator) -> Outline:
    corners = _regular(10)
    corners[1::2] *= rng.uniform(0.38, 0.52)
    return corners, None


def _ring(rng: np.random.Generator) -> Outline:
    return _regular(ROUND), _regular(ROUND) * rng.uniform(0.45, 0.7)


def _crescent(rng: np.random.Generator) -> Outline:
    return _regular(ROUND), _regular(ROUND) * rng.uniform(0.75, 0.9) + [rng.uniform(0.4, 0.55), 0.0]


def _cross(rng: np.random.Generator) -> Outline:
    arm = rng.uniform(0.22, 0.36)
    quarter = np.array([[-arm, -1.0], [arm, -1.0], [arm, -arm]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])  # a quarter turn of row vectors
    corners = np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])
    return corners / np.hypot(arm, 1.0), None


def _heart(_: np.random.Generator) -> Outline:
    t = np.linspace(0.0, 2 * np.pi, ROUND, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.5], axis=1) / 18.0, None


def _arrow(rng: np.random.Generator) -> Outline:
    shaft, head, neck = rng.uniform(0.14, 0.24), rng.uniform(0.5, 0.68), rng.uniform(-0.25, 0.05)
    right = [[0.0, -1.0], [head, neck], [shaft, neck], [shaft, 0.95]]
    left = [[-x, y] for x, y in reversed(right[1:])]
    return np.array(right + left), None


_OUTLINES: dict[str, Callable[[np.random.Generator], Outline]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "heart": _heart,
    "arrow": _arrow,
    "hexagon": _hexagon,
    "crescent": _crescent,
    "pentagon": _pentagon,
    "ellipse": _ellipse,
}

CLASSES: tuple[str, ...] = tuple(_OUTLINES)
"""The labels, in the order of the logits. Pentagon and ellipse are look-alikes of hexagon and circle."""


def outline(label: int, rng: np.random.Generator) -> Outline:
    """Return one example of a class: the filled polygon, and the polygon cut out of it if it has one."""
    return _OUTLINES[CLASSES[label]](rng)
