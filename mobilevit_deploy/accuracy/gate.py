"""Whether a quantised artifact still answers well enough to be shipped."""

from __future__ import annotations

from mobilevit_deploy.accuracy.result import AccuracyResult, Evaluation, Gate


def judge(evaluation: Evaluation, gate: Gate) -> AccuracyResult:
    """Compare what was found with what is demanded."""
    reasons = []
    score = evaluation.score
    # Written as `not (good)`, so that a NaN fails; rounded, so that a drop of just 1 % is one.
    if not round(score.drop, 9) <= gate.max_drop:
        reasons.append(
            f"{evaluation.measure} falls from {score.reference:.2%} to {score.artifact:.2%}, "
            f"by more than {gate.max_drop:.1%}"
        )
    if not round(evaluation.agreement, 9) >= gate.min_agreement:
        decisions = "answers" if evaluation.measure == "top-1" else "pixels"
        reasons.append(
            f"{evaluation.agreement:.2%} of {decisions} are the reference's, "
            f"{gate.min_agreement:.0%} are needed"
        )
    verdict = "fail" if reasons else "pass"
    return AccuracyResult(verdict=verdict, gate=gate, evaluation=evaluation, reasons=tuple(reasons))  # type: ignore[arg-type]


def not_judged(reason: str) -> AccuracyResult:
    """The result where no picture was looked at."""
    return AccuracyResult(verdict="not-run", gate=Gate(), reasons=(reason,))
