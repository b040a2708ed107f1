"""Compare the outputs of an artifact with those of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.parity import metrics
from mobilevit_deploy.parity.result import CaseParity, OutputParity, ParityResult
from mobilevit_deploy.parity.tolerance import Tolerance

Array = NDArray[Any]

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
) -> ParityResult:
    """Judge an artifact's outputs.

    Args:
        outputs: what the manifest declares, one entry an output.
        cases: name of each input.
        reference: for each case, for each output, the reference's array in the artifact's layout.
        produced: the same from the artifact.
        tolerance: what is allowed.
        engine: what ran the artifact.

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
        parity = _measure(spec.name, cases, expected, actual)
        measured.append(parity)
        reasons += _vacuous(spec.name, parity, expected)
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
    name: str, cases: Sequence[str], expected: Sequence[Array], actual: Sequence[Array]
) -> OutputParity:
    rows = [_measure_case(*row) for row in zip(cases, expected, actual, strict=True)]
    return OutputParity(
        name=name,
        max_abs_error=_worst(max, [row.max_abs_error for row in rows]),
        max_error=_worst(max, [row.max_error for row in rows]),
        cosine=_worst(min, [row.cosine for row in rows]),
        sqnr_db=_worst(min, [row.sqnr_db for row in rows]),
        top1_agreement=sum(row.top1_reference == row.top1_artifact for row in rows) / len(rows),
        top5_overlap=sum(row.top5_overlap for row in rows) / len(rows),
        cases=tuple(rows),
    )


def _measure_case(case: str, want: Array, got: Array) -> CaseParity:
    spread = metrics.spread(want)
    error = metrics.max_abs_error(want, got)
    return CaseParity(
        case=case,
        spread=spread,
        max_abs_error=error,
        mean_abs_error=metrics.mean_abs_error(want, got),
        max_error=error / max(spread, MIN_SPREAD),
        cosine=metrics.cosine(want, got),
        sqnr_db=metrics.sqnr_db(want, got),
        top1_reference=metrics.top_k(want, 1)[0],
        top1_artifact=metrics.top_k(got, 1)[0],
        top5_overlap=metrics.top_k_overlap(want, got, 5),
    )


def _worst(pick: Any, values: Sequence[float]) -> float:
    # min() and max() pass over a NaN that does not come first; a NaN is always the worst.
    return float("nan") if any(np.isnan(values)) else float(pick(values))


def _vacuous(name: str, parity: OutputParity, expected: Sequence[Array]) -> list[str]:
    flat = [row.case for row in parity.cases if not row.spread > MIN_SPREAD]
    if flat:
        return [f"the reference's own {name} has no spread on {flat[0]}: a match proves nothing"]
    first, *others = expected
    if others and max(metrics.max_abs_error(first, other) for other in others) < MIN_SPREAD:
        return [f"the reference's own {name} is the same for every input: a match proves nothing"]
    return []


def _exceeded(parity: OutputParity, tolerance: Tolerance) -> list[str]:
    # Written as `not (good)`, so that a NaN fails.
    reasons = []
    name = parity.name
    if tolerance.max_error is not None and not parity.max_error <= tolerance.max_error:
        worst = max(parity.cases, key=lambda row: row.max_error)
        reasons.append(
            f"{name}: error {parity.max_error:.2e} of the reference's spread exceeds "
            f"{tolerance.max_error:.0e} (worst on {worst.case})"
        )
    if tolerance.min_cosine is not None and not parity.cosine >= tolerance.min_cosine:
        reasons.append(f"{name}: cosine {parity.cosine:.6f} is below {tolerance.min_cosine}")
    if tolerance.min_sqnr_db is not None and not parity.sqnr_db >= tolerance.min_sqnr_db:
        reasons.append(f"{name}: SQNR {parity.sqnr_db:.1f} dB is below {tolerance.min_sqnr_db:.0f} dB")
    if not parity.top1_agreement >= tolerance.min_top1:
        wrong = [row.case for row in parity.cases if row.top1_reference != row.top1_artifact]
        reasons.append(
            f"{name}: best class agrees on {parity.top1_agreement:.1%} of inputs, "
            f"{tolerance.min_top1:.0%} are needed (differs on {', '.join(wrong[:3])})"
        )
    return reasons
