"""What an evaluation found, and what the gate made of it, as a manifest keeps them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.parity.result import Verdict

Measure = Literal["top-1", "mIoU"]


class Score(BaseModel):
    """One figure, from 0 to 1, of the reference and of the artifact."""

    model_config = ConfigDict(frozen=True)

    reference: float
    artifact: float

    @property
    def drop(self) -> float:
        """What the artifact loses; negative if it gains."""
        return self.reference - self.artifact


class Evaluation(BaseModel):
    """An artifact over a set of labelled pictures.

    Attributes:
        pictures: where they come from.
        count: how many.
        engine: what ran the artifact.
        measure: what ``score`` is: the share of right answers, or the mean over classes of the intersection
            over union, both at the size of the model's input.
        top5: share of pictures whose class is among the five best; None for segmentation.
        agreement: share of pictures, or of pixels, for which the artifact answers as the reference does.
    """

    model_config = ConfigDict(frozen=True)

    pictures: str
    count: int
    engine: str
    measure: Measure
    score: Score
    top5: Score | None = None
    agreement: float


class Gate(BaseModel):
    """What a quantised export must keep.

    Attributes:
        max_drop: of ``Evaluation.score``.
        min_agreement: with the reference.
    """

    model_config = ConfigDict(frozen=True)

    max_drop: float = 0.01
    min_agreement: float = 0.98


class AccuracyResult(BaseModel):
    """A verdict with what it rests on; ``not-run`` if the user forbade the gate."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    gate: Gate
    evaluation: Evaluation | None = None
    reasons: tuple[str, ...] = ()
