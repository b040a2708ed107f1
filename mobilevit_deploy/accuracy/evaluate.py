"""Run labelled pictures through an artifact and through its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mobilevit_deploy.accuracy.result import Evaluation, Measure, Score
from mobilevit_deploy.errors import EvaluationError
from mobilevit_deploy.parity.metrics import decisions, top_k
from mobilevit_deploy.progress import OnStage, counted
from mobilevit_deploy.reference import Reference, app_preprocessing, reference_output
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.accuracy.pictures import Labelled, LabelledPictures
    from mobilevit_deploy.artifact import Artifact
    from mobilevit_deploy.target import Session

IGNORED = 255
"""A pixel of a mask that belongs to no class, as data sets mark borders."""


def evaluate_session(
    session: Session,
    artifact: Artifact,
    reference: Reference,
    pictures: LabelledPictures,
    *,
    on_stage: OnStage = lambda _: None,
) -> Evaluation:
    """Compare an artifact's answers with the truth and with the reference's answers.

    Args:
        session: the artifact, opened.
        artifact: its inputs and outputs.
        reference: at the artifact's input size.
        pictures: what to look at; each starts as a picture on both sides.
        on_stage: told how far it is.
    """
    (given,), (wanted,) = artifact.inputs, artifact.outputs
    feed = app_preprocessing(reference, given).feed
    classifies = reference.task == Task.CLASSIFICATION
    tally: _Tally = _Answers() if classifies else _Pixels(wanted.layout, reference)
    for labelled in counted(pictures.items, "evaluate", on_stage):
        loaded = labelled()
        (produced,) = session.run(feed(loaded.picture, given))
        tally.add(loaded, reference_output(reference, loaded.picture, wanted), produced)
    return Evaluation(
        pictures=pictures.source,
        count=len(pictures.items),
        engine=session.engine,
        measure=tally.measure,
        score=tally.score(),
        top5=tally.top5(),
        agreement=tally.agreement(),
    )


class _Tally(Protocol):
    measure: Measure

    def add(self, labelled: Labelled, expected: NDArray[Any], produced: NDArray[Any]) -> None: ...
    def score(self) -> Score: ...
    def top5(self) -> Score | None: ...
    def agreement(self) -> float: ...


class _Answers:
    """One answer a picture."""

    measure: Measure = "top-1"

    def __init__(self) -> None:
        self._rows: list[tuple[int, list[int], list[int]]] = []

    def add(self, labelled: Labelled, expected: NDArray[Any], produced: NDArray[Any]) -> None:
        self._rows.append((labelled.number, top_k(expected, 5), top_k(produced, 5)))

    def score(self) -> Score:
        return self._among(1)

    def top5(self) -> Score:
        return self._among(5)

    def agreement(self) -> float:
        return _share([expected[0] == produced[0] for _, expected, produced in self._rows])

    def _among(self, best: int) -> Score:
        return Score(
            reference=_share([truth in expected[:best] for truth, expected, _ in self._rows]),
            artifact=_share([truth in produced[:best] for truth, _, produced in self._rows]),
        )


class _Pixels:
    """One answer a pixel; every pixel of all pictures counts once, as in the published mIoU."""

    measure: Measure = "mIoU"

    def __init__(self, layout: str, reference: Reference) -> None:
        self._layout = layout
        self._size = reference.image_size
        self._processor = reference.preprocess.to_processor()
        classes = len(reference.labels)
        self._tables = np.zeros((2, classes, classes), np.int64)  # reference and artifact; truth, answer
        self._equal: list[float] = []

    def add(self, labelled: Labelled, expected: NDArray[Any], produced: NDArray[Any]) -> None:
        truth = self._truth(labelled)
        answers = [decisions(output, self._layout, self._size)[0] for output in (expected, produced)]
        known = truth != IGNORED
        classes = self._tables.shape[1]
        for table, answer in zip(self._tables, answers, strict=True):
            pairs = np.bincount(truth[known] * classes + answer[known], minlength=classes * classes)
            np.add(table, pairs.reshape(table.shape), out=table)
        self._equal.append(float((answers[0] == answers[1]).mean()))

    def score(self) -> Score:
        reference, artifact = (float(np.nanmean(intersection_over_union(table))) for table in self._tables)
        return Score(reference=reference, artifact=artifact)

    def top5(self) -> None:
        return None

    def agreement(self) -> float:
        return sum(self._equal) / len(self._equal)

    def _truth(self, labelled: Labelled) -> NDArray[np.int64]:
        prepared = self._processor.preprocess(
            labelled.picture, segmentation_maps=labelled.mask, return_tensors="np"
        )
        truth: NDArray[np.int64] = prepared["labels"][0].astype(np.int64)
        strange = truth[(truth != IGNORED) & (truth >= self._tables.shape[1])]
        if strange.size:
            raise EvaluationError(
                f"A mask holds class {strange[0]}, and the model has {self._tables.shape[1]} classes from 0.",
                remedy="Number the classes as the model's labels are, and mark what is none with 255.",
            )
        return truth


def intersection_over_union(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of each class of a confusion matrix (truth, answer); NaN for one that is neither."""
    both = table.diagonal().astype(np.float64)
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = both / (table.sum(0) + table.sum(1) - both)
    return shares


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)
