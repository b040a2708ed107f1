"""What a quantised file may lose, to the last picture."""

from __future__ import annotations

import math

import pytest

from mobilevit_deploy.accuracy.gate import judge, not_judged
from mobilevit_deploy.accuracy.result import Evaluation, Gate, Measure, Score


def evaluation(reference: float, artifact: float, agreement: float, measure: Measure = "top-1") -> Evaluation:
    return Evaluation(
        pictures="some",
        count=100,
        engine="torch",
        measure=measure,
        score=Score(reference=reference, artifact=artifact),
        agreement=agreement,
    )


@pytest.mark.parametrize(
    ("reference", "artifact", "agreement", "verdict"),
    [
        (0.90, 0.90, 1.0, "pass"),
        (0.90, 0.89, 0.98, "pass"),  # exactly what is allowed
        (0.90, 0.95, 0.98, "pass"),
        (0.90, 0.889, 0.98, "fail"),
        (0.90, 0.90, 0.979, "fail"),
        (0.90, 0.89, math.nan, "fail"),
        (0.90, math.nan, 0.99, "fail"),
    ],
)
def test_verdict(reference: float, artifact: float, agreement: float, verdict: str) -> None:
    assert judge(evaluation(reference, artifact, agreement), Gate()).verdict == verdict


def test_every_bound_that_is_missed_is_named() -> None:
    found = judge(evaluation(0.9, 0.8, 0.5, "mIoU"), Gate())
    assert found.reasons == (
        "mIoU falls from 90.00% to 80.00%, by more than 1.0%",
        "50.00% of pixels are the reference's, 98% are needed",
    )


def test_what_was_not_looked_at_is_no_pass() -> None:
    assert not_judged("the user said so").verdict == "not-run"
