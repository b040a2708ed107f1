"""The verbs from Python, on a quick target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mobilevit_deploy
from mobilevit_deploy.artifact import manifest_path
from mobilevit_deploy.demo import parity_photographs
from mobilevit_deploy.errors import ImageError, TargetError, UsageError
from mobilevit_deploy.reference import Reference, load_model
from mobilevit_deploy.target import Availability, get_target

pytestmark = pytest.mark.xdist_group("toy")


@pytest.fixture
def dead() -> Reference:
    """A model whose head ignores the picture: nothing can be proven with it."""
    reference = load_model().resized((64, 64))
    torch.nn.init.zeros_(reference.model.classifier.weight)
    return reference


def test_the_five_verbs_are_names_of_the_package() -> None:
    for verb in ("load_model", "export", "verify", "predict", "benchmark"):
        assert callable(getattr(mobilevit_deploy, verb))
        assert verb in dir(mobilevit_deploy)


def test_stages_are_told_in_the_order_of_the_program(reference: Reference, tmp_path: Path) -> None:
    stages: list[str] = []
    made = mobilevit_deploy.export(
        reference, target="toy", image_size=(64, 96), output=tmp_path, on_stage=stages.append
    )
    assert stages == ["load", "rewrite", "convert", "parity", "write"]
    assert made.path.name == "mobilevit-xxs-shapes-64x96-fp32.pt2"
    assert made.manifest.inputs[0].shape == (1, 3, 64, 96)
    assert made.manifest.parity.passed


def test_export_leaves_the_reference_as_it_was(reference: Reference, tmp_path: Path) -> None:
    before = reference.weights_sha256()
    mobilevit_deploy.export(reference, target="onnx", image_size=64, output=tmp_path)
    assert reference.weights_sha256() == before


def test_failed_artifact_is_set_apart_and_replaced_by_one_that_passes(
    dead: Reference, reference: Reference, tmp_path: Path
) -> None:
    failed = mobilevit_deploy.export(dead, target="toy", output=tmp_path)
    assert failed.manifest.parity.verdict == "fail"
    assert failed.path.parent == tmp_path / "failed"
    passed = mobilevit_deploy.export(reference, target="toy", image_size=64, output=tmp_path)
    assert passed.path == tmp_path / failed.path.name
    assert not failed.path.exists()
    assert not manifest_path(failed.path).exists()


def test_failed_export_does_not_replace_an_older_artifact_that_passed(
    dead: Reference, reference: Reference, tmp_path: Path
) -> None:
    good = mobilevit_deploy.export(reference, target="toy", image_size=64, output=tmp_path)
    content = good.path.read_bytes()
    mobilevit_deploy.export(dead, target="toy", output=tmp_path)
    assert good.path.read_bytes() == content
    assert mobilevit_deploy.verify(good.path).passed


def test_verify_compares_with_another_model_if_asked(
    artifact_copy: Callable[..., Path], reference: Reference
) -> None:
    path = artifact_copy("toy")
    assert mobilevit_deploy.verify(path, model=reference).passed
    other = load_model()
    other.model.classifier.bias.data[0] += 1
    result = mobilevit_deploy.verify(path, model=other)
    assert not result.passed
    assert "does not hold the weights" in result.reasons[0]


def test_prediction_of_the_artifact_is_that_of_the_reference(artifact_copy: Callable[..., Path]) -> None:
    prediction = mobilevit_deploy.predict(parity_photographs()[0], artifact=artifact_copy("toy"))
    assert prediction.artifact is not None
    np.testing.assert_allclose(prediction.artifact, prediction.reference, atol=1e-5)
    assert prediction.reference.sum() == pytest.approx(1)
    assert len(prediction.best(3, of="artifact")) == 3


def test_prediction_uses_the_weights_it_was_given_not_a_stale_artifact(
    reference: Reference, tmp_path: Path
) -> None:
    photograph = parity_photographs()[0]
    small = reference.resized((64, 64))
    mobilevit_deploy.predict(photograph, model=small, target="toy", output=tmp_path)
    changed = replace(load_model().resized((64, 64)), source=small.source)
    changed.model.classifier.bias.data[3] += 5
    prediction = mobilevit_deploy.predict(photograph, model=changed, target="toy", output=tmp_path)
    assert prediction.artifact is not None
    np.testing.assert_allclose(prediction.artifact, prediction.reference, atol=1e-5)


def test_picture_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageError, match=r"a\.png"):
        mobilevit_deploy.predict(tmp_path / "a.png")


def test_target_that_cannot_run_here(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    absent = Availability(usable=False, engine="", reason="it is missing", remedy="Get it.")
    monkeypatch.setattr(type(get_target("toy")), "availability", lambda _: absent)
    with pytest.raises(TargetError, match="it is missing"):
        mobilevit_deploy.export(reference, target="toy")


def test_unknown_precision(reference: Reference) -> None:
    with pytest.raises(UsageError, match="no precision 'int4'"):
        mobilevit_deploy.export(reference, target="toy", precision="int4")
