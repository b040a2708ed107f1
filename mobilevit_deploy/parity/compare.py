"""Compare the outputs of an artifact with those of the reference."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.parity import metrics
from mobilevit_deploy.parity.cases import EXTREMES
from mobilevit_deploy.parity.result import CaseParity, OutputParity, ParityResult
from mobilevit_deploy.parity.tolerance import Tolerance

Array = NDArray[Any]
Size = tuple[int, int]

MIN_SPREAD = 1e-6
"""A reference output flatter than this proves nothing: untrained MobileViT gives logits of 1e-41, and any
export "matches" them. Trained heads have spreads of 1 to 30."""


def compare(
    outputs: Sequence[TensorSpec],
    cases: Sequence[str],
    reference: Sequence[Sequence[Array]],
    produced: Sequence[Sequence[Array]],
    *,
    tolerance: Tolerance,
    engine: str,
    image_size: tuple[int, int] = (1, 1),
) -> ParityResult:
    """Judge an artifact's outputs.

    Args:
        outputs: what the manifest declares, one entry an output.
        cases: name of each input; those in ``EXTREMES`` have a bound of their own.
        reference: for each case, for each output, the reference's array in the artifact's layout.
        produced: the same from the artifact.
        tolerance: what is allowed.
        engine: what ran the artifact.
        image_size: height and width of the input, at which segmentation is decided.

    Returns:
        ``pass``, or ``fail`` with a reason for every bound exceeded. Metrics are complete either way, except
        for outputs of another shape than the reference's, which cannot be compared.
    """
    measured: list[OutputParity] = []
    reasons: list[str] = []
    for index, spec in enumerate(outputs):
        expected = [arrays[index] for arrays in reference]
        actual = [arrays[index] for arrays in produced]
        faults = _form_faults(spec, cases, expected, actual)
        reasons += faults.reasons
        if not faults.comparable:
            continue
        parity = _measure(spec, cases, expected, actual, image_size, tolerance.tie)
        measured.append(parity)
        reasons += _vacuous(parity, expected)
        reasons += _exceeded(parity, tolerance)
    return ParityResult(
        verdict="fail" if reasons else "pass",
        engine=engine,
        tolerance=tolerance,
        outputs=tuple(measured),
        reasons=tuple(reasons),
    )


class _FormFaults:
    """What is wrong before any number is compared, and whether numbers can be compared at all."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.comparable = True


def _form_faults(
    spec: TensorSpec, cases: Sequence[str], expected: Sequence[Array], actual: Sequence[Array]
) -> _FormFaults:
    faults = _FormFaults()
    for case, want, got in zip(cases, expected, actual, strict=True):
        if got.shape != spec.shape or str(got.dtype) != spec.dtype:
            faults.reasons.append(
                f"{spec.name} on {case} is {got.dtype}{list(got.shape)}, "
                f"the manifest says {spec.dtype}{list(spec.shape)}"
            )
        if got.shape != want.shape:
            faults.comparable = False
            faults.reasons.append(
                f"{spec.name} on {case} has shape {list(got.shape)}, the reference {list(want.shape)}"
            )
        elif not np.isfinite(got).all():
            faults.reasons.append(f"{spec.name} on {case} holds NaN or Inf")
    return faults


def _measure(
    spec: TensorSpec,
    cases: Sequence[str],
    expected: Sequence[Array],
    actual: Sequence[Array],
    size: Size,
    tie: float,
) -> OutputParity:
    # Of all inputs: a black picture's logits hardly spread, and no decision hangs on their noise.
    signal = sum(metrics.power(array) for array in expected) / len(expected)
    rows = [_measure_case(spec, size, tie, signal, *row) for row in zip(cases, expected, actual, strict=True)]
    return OutputParity(
        name=spec.name,
        decides="pixels" if "H" in spec.layout else "inputs",
        max_abs_error=_worst(max, [row.max_abs_error for row in rows]),
        max_error=_worst(max, [row.max_error for row in rows]),
        cosine=_worst(min, [row.cosine for row in rows]),
        sqnr_db=_worst(min, [row.sqnr_db for row in rows if row.case not in EXTREMES]),
        extremes_sqnr_db=_worst(min, [row.sqnr_db for row in rows if row.case in EXTREMES]),
        top1_agreement=sum(row.top1_agreement for row in rows) / len(rows),
        top5_overlap=_mean([row.top5_overlap for row in rows]),
        cases=tuple(rows),
    )


def _measure_case(
    spec: TensorSpec, size: Size, tie: float, signal: float, case: str, want: Array, got: Array
) -> CaseParity:
    wanted, chosen = (metrics.decisions(array, spec.layout, size) for array in (want, got))
    row = CaseParity(case=case, top1_agreement=float((wanted == chosen).mean()))
    if "C" not in spec.layout:
        return row
    spread = metrics.spread(want)
    error = metrics.max_abs_error(want, got)
    numbers: dict[str, Any] = {
        "spread": spread,
        "max_abs_error": error,
        "mean_abs_error": metrics.mean_abs_error(want, got),
        "max_error": error / max(spread, MIN_SPREAD),
        "cosine": metrics.cosine(want, got),
        "sqnr_db": metrics.sqnr_db(want, got, signal=_signal(case, want, signal)),
    }
    if "H" not in spec.layout:
        lost = float(want.ravel()[wanted[0]]) - float(want.ravel()[chosen[0]])
        numbers |= {
            "top1_agreement": float(lost <= tie * spread),
            "top1_reference": int(wanted[0]),
            "top1_artifact": int(chosen[0]),
            "top5_overlap": metrics.top_k_overlap(want, got, 5),
        }
    return row.model_copy(update=numbers)


def _signal(case: str, want: Array, mean: float) -> float:
    # The logits of saturated noise may be far stronger than those of pictures, and their error with them.
    return max(metrics.power(want), mean) if case in EXTREMES else mean


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _worst(pick: Any, values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    # min() and max() pass over a NaN that does not come first; a NaN is always the worst.
    return float("nan") if any(np.isnan(numbers)) else float(pick(numbers))


def _vacuous(parity: OutputParity, expected: Sequence[Array]) -> list[str]:
    name = parity.name
    flat = [row.case for row in parity.cases if row.spread is not None and not row.spread > MIN_SPREAD]
    if flat:
        return [f"the reference's own {name} has no spread on {flat[0]}: a match proves nothing"]
    first, *others = expected
    if others and max(metrics.max_abs_error(first, other) for other in others) < MIN_SPREAD:
        return [f"the reference's own {name} is the same for every input: a match proves nothing"]
    return []


def _exceeded(parity: OutputParity, tolerance: Tolerance) -> list[str]:
    # Written as `not (good)`, so that a NaN fails. Class numbers have no error, and no bound on it.
    reasons = []
    name = parity.name
    if _fails(parity.max_error, tolerance.max_error, operator.le):
        worst = max(parity.cases, key=lambda row: row.max_error or 0.0)
        reasons.append(
            f"{name}: error {parity.max_error:.2e} of the reference's spread exceeds "
            f"{tolerance.max_error:.0e} (worst on {worst.case})"
        )
    if _fails(parity.cosine, tolerance.min_cosine, operator.ge):
        reasons.append(f"{name}: cosine {parity.cosine:.6f} is below {tolerance.min_cosine}")
    if _fails(parity.sqnr_db, tolerance.min_sqnr_db, operator.ge):
        worst = min((row for row in parity.cases if row.case not in EXTREMES), key=_sqnr_or_nothing)
        reasons.append(
            f"{name}: SQNR {parity.sqnr_db:.1f} dB on {worst.case} is below {tolerance.min_sqnr_db:.0f} dB"
        )
    for_extremes = tolerance.min_extremes_sqnr_db
    least = tolerance.min_sqnr_db if for_extremes is None else for_extremes
    if _fails(parity.extremes_sqnr_db, least, operator.ge):
        worst = min((row for row in parity.cases if row.case in EXTREMES), key=_sqnr_or_nothing)
        reasons.append(
            f"{name}: SQNR {parity.extremes_sqnr_db:.1f} dB on {worst.case} is below {least:.0f} dB"
        )
    needed = tolerance.min_pixels if parity.decides == "pixels" else tolerance.min_top1
    if not parity.top1_agreement >= needed:
        wrong = sorted(parity.cases, key=lambda row: row.top1_agreement)
        differing = ", ".join(row.case for row in wrong[:3] if row.top1_agreement < 1)
        reasons.append(
            f"{name}: best class agrees on {_percent(parity.top1_agreement)} of {parity.decides}, "
            f"{_percent(needed)} are needed (differs on {differing})"
        )
    return reasons


def _sqnr_or_nothing(row: CaseParity) -> float:
    """As a key for the worst: NaN is."""
    return -math.inf if row.sqnr_db is None or math.isnan(row.sqnr_db) else row.sqnr_db


def _fails(value: float | None, bound: float | None, good: Callable[[float, float], bool]) -> bool:
    return value is not None and bound is not None and not good(value, bound)


def _percent(share: float) -> str:
    """``100%`` or ``99.87%``, never rounded up to a whole one."""
    return "100%" if share == 1 else f"{math.floor(share * 1e4) / 100:.2f}%"
