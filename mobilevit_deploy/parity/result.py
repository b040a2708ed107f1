"""The outcome of a parity check, as it is stored in a manifest and shown in a report."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mobilevit_deploy.parity.tolerance import Tolerance

Verdict = Literal["pass", "fail", "not-run"]


class _Record(BaseModel):
    # An exact match has an infinite SQNR and a broken artifact gives NaN; JSON knows neither as a number.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class CaseParity(_Record):
    """One output on one input.

    ``max_error`` is ``max_abs_error`` over ``spread``; ``top1_*`` are class indices.
    """

    case: str
    spread: float
    max_abs_error: float
    mean_abs_error: float
    max_error: float
    cosine: float
    sqnr_db: float
    top1_reference: int
    top1_artifact: int
    top5_overlap: float


class OutputParity(_Record):
    """One output over all inputs: every figure is that of the worst input, agreement is a share of inputs."""

    name: str
    max_abs_error: float
    max_error: float
    cosine: float
    sqnr_db: float
    top1_agreement: float
    top5_overlap: float
    cases: tuple[CaseParity, ...]


class ParityResult(_Record):
    """A verdict with everything it rests on.

    Attributes:
        verdict: ``not-run`` is a verdict of its own, never a pass.
        engine: what ran the artifact, such as ``onnxruntime 1.32.0`` or ``mil-interpreter``.
        reasons: why the verdict is not ``pass``, one plain sentence each.
    """

    verdict: Verdict
    engine: str
    tolerance: Tolerance
    outputs: tuple[OutputParity, ...] = ()
    reasons: tuple[str, ...] = Field(default=())

    @property
    def passed(self) -> bool:
        """True for ``pass`` alone."""
        return self.verdict == "pass"
