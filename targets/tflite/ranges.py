"""The range of every tensor of a graph, which 8 bits then part into 255 steps."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from contextlib import redirect_stderr
from typing import Any

import numpy as np
from numpy.typing import NDArray

Range = dict[str, NDArray[Any]]
"""``min`` and ``max``, of one element each, as ai-edge-quantizer calls them."""

Ranges = dict[str, Range]
"""By name of tensor."""

_STEPS = 255


def observed(content: bytes, inputs: Iterable[NDArray[Any]]) -> Ranges:
    """The least and the largest value that each tensor takes over ``inputs``.

    ai-edge-quantizer's own calibration averages over the inputs instead, and cuts off what a rare input
    needs: that costs 5 dB on the bundled classifier, and cutting at the 99.9 % percentile costs 10.
    """
    from ai_edge_quantizer import calibrator, recipe_manager

    with redirect_stderr(io.StringIO()):  # a progress bar
        runner = calibrator.Calibrator(
            content,
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=_joined,
        )
        ((signature, ends),) = runner.get_signature_list().items()
        (name,) = ends["inputs"]
        runner.calibrate({signature: [{name: array} for array in inputs]}, recipe_manager.RecipeManager())
    return dict(runner.get_model_qsvs())


def _joined(one: Range, other: Range) -> Range:
    return {"min": np.minimum(one["min"], other["min"]), "max": np.maximum(one["max"], other["max"])}


def symmetric(found: Range) -> Range:
    """The least range around ``found`` whose zero point is 0."""
    largest = max(-float(found["min"][0]), float(found["max"][0]))
    return _range(-largest * 128 / 127, largest)


def narrow_before_silu(found: Range) -> Range:
    """Without the negative end that SiLU maps to less than half a step of its output.

    The numbers before a SiLU reach far below zero, where it is zero: half of their range may tell nothing.
    """
    low, high = float(found["min"][0]), float(found["max"][0])
    step = (max(_silu(high), 0.0) - _SILU_MINIMUM) / _STEPS
    end = _SILU_ARGMIN
    while -_silu(end) > step / 2:
        end -= _GRID
    return _range(max(low, end), high)


def _range(low: float, high: float) -> Range:
    return {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}


def _silu(x: float) -> float:
    return x / (1 + math.exp(-x))


_SILU_ARGMIN = -1.2785
_SILU_MINIMUM = -0.2785
_GRID = 0.125
