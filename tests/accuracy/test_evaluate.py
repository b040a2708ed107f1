"""An evaluation counts right answers as the demo's own measurement does, on the file and on the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.accuracy.evaluate import evaluate_session, intersection_over_union
from mobilevit_deploy.accuracy.pictures import Labelled, LabelledPictures, labelled_pictures
from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.demo.evaluate import evaluate as evaluate_model
from mobilevit_deploy.errors import EvaluationError
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import get_target

COUNT = 48


def evaluated(made: Exported, reference: Reference, pictures: LabelledPictures, precision: str = "fp32"):  # type: ignore[no-untyped-def]
    artifact, _ = open_artifact(made.path)
    session = get_target("toy").open_session(artifact)
    return evaluate_session(session, artifact, reference, pictures)


def test_classification_agrees_with_the_demos_own_measurement(
    exported: Callable[..., Exported], reference: Reference
) -> None:
    found = evaluated(exported("toy"), reference, labelled_pictures(reference, count=COUNT))
    wanted = evaluate_model(reference.model, reference.preprocess.to_processor(), count=COUNT).mean
    assert found.measure == "top-1"
    assert found.score.reference == found.score.artifact == pytest.approx(wanted)
    assert found.agreement == 1
    assert found.top5 is not None
    assert 1 >= found.top5.reference > found.score.reference


@pytest.mark.parametrize("argmax", [False, True])
def test_segmentation_agrees_with_the_demos_own_measurement(
    segmented: Callable[..., Exported], segmenter: Reference, argmax: bool
) -> None:
    made = segmented("toy", argmax=argmax)
    found = evaluated(made, segmenter, labelled_pictures(segmenter, count=COUNT))
    wanted = evaluate_model(segmenter.model, segmenter.preprocess.to_processor(), count=COUNT).mean
    assert found.measure == "mIoU"
    assert found.score.reference == pytest.approx(wanted)
    assert found.score.artifact == pytest.approx(wanted, abs=1e-4)
    assert found.agreement > 0.9999
    assert found.top5 is None


def test_a_file_that_answers_otherwise_is_seen(
    exported: Callable[..., Exported], reference: Reference
) -> None:
    """Negative control: the file is fed pictures upside down in colour."""
    artifact, _ = open_artifact(exported("toy").path)
    session = get_target("toy").open_session(artifact)

    class Inverted:
        engine = session.engine

        def run(self, picture: np.ndarray) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
            return session.run(255 - picture)

    found = evaluate_session(
        Inverted(),  # type: ignore[arg-type]
        artifact,
        reference,
        labelled_pictures(reference, count=COUNT),
    )
    assert found.agreement < 0.9
    assert found.score.artifact < found.score.reference


def test_pixels_marked_as_nothing_do_not_count(
    segmented: Callable[..., Exported], segmenter: Reference
) -> None:
    def hidden() -> Labelled:
        picture = Image.new("RGB", (96, 96), (90, 30, 60))
        truth = np.full((96, 96), 255, np.uint8)
        truth[40:56, 40:56] = 0
        return Labelled(picture, mask=Image.fromarray(truth))

    found = evaluated(segmented("toy"), segmenter, LabelledPictures("one", [hidden]))
    assert 0 <= found.score.reference <= 1


def test_a_class_that_the_model_does_not_have_is_named(
    segmented: Callable[..., Exported], segmenter: Reference, tmp_path: Path
) -> None:
    def strange() -> Labelled:
        return Labelled(Image.new("RGB", (96, 96)), mask=Image.new("L", (96, 96), 77))

    with pytest.raises(EvaluationError, match="holds class 77"):
        evaluated(segmented("toy"), segmenter, LabelledPictures("one", [strange]))


def test_intersection_over_union_by_hand() -> None:
    table = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    assert intersection_over_union(table).tolist()[:2] == [6 / 9, 3 / 6]
    assert np.isnan(intersection_over_union(table)[2])
