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

    Attributes:
        sqnr_db: mean power of the reference's output, over all inputs, to the power of this input's error; of
            black, white or noise, its own power where that is larger.
        max_error: ``max_abs_error`` over ``spread``. The numeric figures are None for class numbers, whose
            differences mean nothing.
        top1_agreement: share of decisions that agree: a classifier makes one an input, and agrees as well if
            it chooses a class that ties with the reference's best; segmentation makes one a pixel of the
            input, from its logits after bilinear up-sampling.
        top1_reference: the class decided for; None where there are many decisions.
        top5_overlap: share of the reference's five best classes among the artifact's; None likewise.
    """

    case: str
    spread: float | None = None
    max_abs_error: float | None = None
    mean_abs_error: float | None = None
    max_error: float | None = None
    cosine: float | None = None
    sqnr_db: float | None = None
    top1_agreement: float
    top1_reference: int | None = None
    top1_artifact: int | None = None
    top5_overlap: float | None = None


class OutputParity(_Record):
    """One output over all inputs.

    Every numeric figure is that of the worst input; agreement is the mean over inputs.

    Attributes:
        decides: what a decision is made for, ``inputs`` or ``pixels``.
        sqnr_db: on pictures; see ``CaseParity``.
        extremes_sqnr_db: on black, white and saturated noise.
    """

    name: str
    decides: Literal["inputs", "pixels"]
    max_abs_error: float | None = None
    max_error: float | None = None
    cosine: float | None = None
    sqnr_db: float | None = None
    extremes_sqnr_db: float | None = None
    top1_agreement: float
    top5_overlap: float | None = None
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

    @property
    def errors(self) -> dict[str, float]:
        """Largest error of any output on each input, as a fraction of the reference's spread."""
        found: dict[str, float] = {}
        for output in self.outputs:
            for case in output.cases:
                if case.max_error is not None:
                    found[case.case] = max(found.get(case.case, 0.0), case.max_error)
        return found

    @property
    def max_error(self) -> float | None:
        """Largest error of any output on any input; None for class numbers, which have none."""
        return max((each.max_error for each in self.outputs if each.max_error is not None), default=None)

    @property
    def sqnr_db(self) -> float | None:
        """Smallest signal to quantisation noise ratio of any output on any picture."""
        return min((each.sqnr_db for each in self.outputs if each.sqnr_db is not None), default=None)

    @property
    def top1_agreement(self) -> float | None:
        """Share of inputs, or of pixels, on which the best class is the reference's."""
        return min((each.top1_agreement for each in self.outputs), default=None)
