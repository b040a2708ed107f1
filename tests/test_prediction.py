"""One picture, by the reference and by an artifact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mobilevit_deploy
from mobilevit_deploy.demo import parity_photographs
from mobilevit_deploy.demo.shapes import CLASSES, generate
from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.prediction import Classification, Segmentation
from mobilevit_deploy.reference import Reference, load_model


@pytest.fixture
def square(tmp_path: Path) -> Path:
    path = tmp_path / "square.png"
    Image.fromarray(generate(CLASSES.index("square"), split="heldout").image).save(path)
    return path


def test_artifacts_probabilities_are_the_references(artifact_copy: Callable[..., Path]) -> None:
    prediction = mobilevit_deploy.predict(parity_photographs()[0], artifact=artifact_copy("toy"))
    assert isinstance(prediction, Classification)
    columns = prediction.columns
    np.testing.assert_allclose(columns["artifact"], columns["reference"], atol=1e-5)
    assert columns["reference"].sum() == pytest.approx(1)
    assert len(prediction.best(3, of="artifact")) == 3


def test_weights_that_were_given_count_not_a_stale_artifact(reference: Reference, tmp_path: Path) -> None:
    photograph = parity_photographs()[0]
    small = reference.resized((64, 64))
    mobilevit_deploy.predict(photograph, model=small, target="toy", output=tmp_path)
    changed = replace(load_model().resized((64, 64)), source=small.source)
    changed.model.classifier.bias.data[3] += 5
    columns = mobilevit_deploy.predict(photograph, model=changed, target="toy", output=tmp_path).columns
    np.testing.assert_allclose(columns["artifact"], columns["reference"], atol=1e-5)


def test_channel_order_that_was_given_counts_not_a_stale_artifact(tmp_path: Path, square: Path) -> None:
    first = mobilevit_deploy.predict(square, target="toy", output=tmp_path)
    second = mobilevit_deploy.predict(square, target="toy", channel_order="rgb", output=tmp_path)
    assert not np.allclose(first.columns["artifact"], second.columns["artifact"])
    np.testing.assert_allclose(second.columns["artifact"], second.columns["reference"], atol=1e-5)


def test_segmentation_finds_the_shape_where_it_is(square: Path) -> None:
    prediction = mobilevit_deploy.predict(square, model="demo-segmentation")
    assert isinstance(prediction, Segmentation)
    assert prediction.columns["reference"].shape == (256, 256)
    shares = dict(prediction.shares(of="reference"))
    assert {"background", "square"} <= set(shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert prediction.agreement is None


@pytest.mark.parametrize("argmax", [False, True])
def test_segmenting_artifact_agrees_with_the_reference(
    segmented: Callable[..., Exported], square: Path, argmax: bool
) -> None:
    prediction = mobilevit_deploy.predict(square, artifact=segmented("toy", argmax=argmax).path)
    assert isinstance(prediction, Segmentation)
    assert prediction.columns["artifact"].shape == (96, 96)
    assert prediction.agreement is not None
    assert prediction.agreement >= 0.999


def test_picture_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageError, match=r"a\.png"):
        mobilevit_deploy.predict(tmp_path / "a.png")


def test_artifacts_own_labels_name_its_classes(tmp_path: Path, square: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {i}" for i in range(12)), encoding="utf-8")
    made = mobilevit_deploy.export("demo", target="toy", image_size=64, labels=names, output=tmp_path)
    prediction = mobilevit_deploy.predict(square, artifact=made.path)
    assert isinstance(prediction, Classification)
    assert prediction.best(1, of="artifact")[0][0].startswith("class ")
