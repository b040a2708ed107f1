"""What a file says about itself, and what it and its manifest disagree about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobilevit_deploy.artifact import manifest_path
from mobilevit_deploy.description import describe, disagreements
from mobilevit_deploy.errors import ArtifactError, TargetError
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.target import Availability, get_target


def test_exported_file_and_manifest_agree(artifact_copy: Callable[..., Path]) -> None:
    target, found, warnings = describe(artifact_copy("toy"))
    assert target == "toy"
    assert found.card is not None
    assert warnings == []


def test_file_without_a_manifest_describes_itself(artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    manifest_path(path).unlink()
    _, found, warnings = describe(path)
    assert found.card is not None
    assert found.card.model == "mobilevit-xxs-shapes"
    assert warnings == []


def test_changed_file_is_noticed(artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    with path.open("ab") as file:
        file.write(b"something appended")
    _, _, warnings = describe(path)
    assert any("sha256" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("field", "value"), [("labels", ("a", "b")), ("weights_sha256", "f" * 64), ("precision", "fp16")]
)
def test_each_disagreement_is_told_once(exported: Callable[..., Exported], field: str, value: object) -> None:
    made = exported("toy")
    found = get_target("toy").describe(made.path)
    assert found.card is not None
    other = replace(found, card=found.card.model_copy(update={field: value}))
    (warning,) = disagreements(other, made.manifest)
    assert field.split("_", maxsplit=1)[0] in warning


def test_other_input_is_a_disagreement(exported: Callable[..., Exported]) -> None:
    made = exported("toy")
    found = get_target("toy").describe(made.path)
    larger = found.inputs[0].model_copy(update={"shape": (1, 640, 640, 3)})
    (warning,) = disagreements(replace(found, inputs=(larger,)), made.manifest)
    assert "about the inputs: image uint8[1, 640, 640, 3] in the file, image uint8[1, 96, 96, 3]" in warning


def test_files_of_no_target(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpeg").write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="no model file") as caught:
        describe(tmp_path / "holiday.jpeg")
    assert ".tflite" in caught.value.remedy


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no file"):
        describe(tmp_path / "absent.onnx")


def test_target_that_cannot_read_here(
    artifact_copy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = artifact_copy("toy")
    absent = Availability(usable=False, engine="", reason="it is missing", remedy="Get it.")
    monkeypatch.setattr(type(get_target("toy")), "availability", lambda _: absent)
    with pytest.raises(TargetError, match="it is missing"):
        describe(path)


@pytest.mark.parametrize("content", ["{", '{"format": "other"}'])
def test_unusable_manifest_is_a_warning_not_the_end(artifact_copy: Callable[..., Path], content: str) -> None:
    path = artifact_copy("toy")
    manifest_path(path).write_text(content)
    _, found, (warning,) = describe(path)
    assert found.card is not None
    assert "manifest cannot be used" in warning
