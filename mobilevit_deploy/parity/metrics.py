"""Distances between a reference output and an artifact's, in float64.

Every function takes two arrays of one shape, the reference first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def spread(reference: Array) -> float:
    """Max - min: the scale against which an error of a logit is large or small."""
    return float(np.ptp(reference.astype(np.float64)))


def max_abs_error(reference: Array, output: Array) -> float:
    """Largest absolute difference."""
    return float(np.abs(_error(reference, output)).max())


def mean_abs_error(reference: Array, output: Array) -> float:
    """Mean absolute difference."""
    return float(np.abs(_error(reference, output)).mean())


def cosine(reference: Array, output: Array) -> float:
    """Cosine of the angle between the flattened arrays; 0 if either is all zero, NaN if one is not finite."""
    a, b = reference.astype(np.float64).ravel(), output.astype(np.float64).ravel()
    with np.errstate(invalid="ignore"):
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        return float(a @ b / norms) if norms else 0.0


def power(reference: Array) -> float:
    """Sum of squares."""
    return float(np.square(reference.astype(np.float64)).sum())


def sqnr_db(reference: Array, output: Array, *, signal: float | None = None) -> float:
    """Signal to quantisation noise ratio in dB: 10 log10(signal / sum (o - r)^2); inf if they are equal.

    Args:
        reference: what should have come out.
        output: what did.
        signal: power to compare the noise with; that of ``reference`` unless given.
    """
    noise = np.square(_error(reference, output)).sum()
    if noise == 0:
        return math.inf
    with np.errstate(divide="ignore"):  # no signal, or infinite noise: -inf
        return float(10 * np.log10((power(reference) if signal is None else signal) / noise))


def top_k(logits: Array, k: int) -> list[int]:
    """Indices of the ``k`` largest values of a flat array, best first; ties go to the lower index."""
    return [int(i) for i in np.argsort(-logits.ravel(), kind="stable")[:k]]


def top_k_overlap(reference: Array, output: Array, k: int) -> float:
    """Share, 0 to 1, of the reference's ``k`` best classes that are among the output's ``k`` best."""
    best = top_k(reference, k)
    return len(set(best) & set(top_k(output, k))) / len(best)


def decisions(output: Array, layout: str, size: tuple[int, int]) -> Array:
    """The classes that an output stands for.

    Args:
        output: scores of classes, or the class numbers themselves.
        layout: its axes; scores have a ``C`` among them.
        size: height and width of the input, to which maps of scores are scaled up first.

    Returns:
        int64, one number for each input (N,) or for each of its pixels (N, height, width).
    """
    if "C" not in layout:
        return output.astype(np.int64)
    if "H" not in layout:
        best: Array = output.argmax(layout.index("C"))
        return best
    import torch
    import torch.nn.functional as F

    scores = torch.from_numpy(np.ascontiguousarray(np.moveaxis(output, layout.index("C"), 1), np.float32))
    scaled = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    chosen: Array = scaled.argmax(1).numpy()
    return chosen


def _error(reference: Array, output: Array) -> Array:
    return output.astype(np.float64) - reference.astype(np.float64)
