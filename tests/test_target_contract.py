"""What every target promises, built-in or a third party's: one body, run over all that are registered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from conftest import require
from mobilevit_deploy.artifact import digest, manifest_path, open_artifact, size
from mobilevit_deploy.description import describe, disagreements
from mobilevit_deploy.errors import ArtifactError, SessionError, UsageError
from mobilevit_deploy.parity.cases import parity_cases
from mobilevit_deploy.parity.compare import compare
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.pipeline import Exported, check, export, verify
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference, reference_output
from mobilevit_deploy.target import Input, Session, get_target, target_names
from mobilevit_deploy.task import Task

BUILT_IN = {"coreml", "executorch", "onnx", "tflite"}

every_target = pytest.mark.parametrize("target", target_names())
every_precision = pytest.mark.parametrize(
    ("target", "precision"),
    [(name, str(precision)) for name in target_names() for precision in get_target(name).precisions],
)
Export = Callable[..., Exported]
Segment = Callable[..., Exported]


def test_built_in_targets_and_a_third_partys_come_in_by_the_same_door() -> None:
    assert set(target_names()) >= BUILT_IN | {"toy"}


@every_target
def test_availability_is_answered_without_importing_the_targets_libraries(target: str) -> None:
    script = (
        "import sys; from mobilevit_deploy.target import get_target\n"
        f"here = get_target({target!r}).availability()\n"
        "assert here.usable or (here.reason and here.remedy), here\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'coremltools', 'executorch', 'litert_torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", sorted(BUILT_IN))
def test_missing_library_is_named_with_the_extra_that_brings_it(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_found(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("mobilevit_deploy.target.version", not_found)
    here = get_target(target).availability()
    assert not here.usable
    assert get_target(target).libraries[0] in here.reason
    assert here.remedy == f"pip install 'mobilevit-deploy[{get_target(target).extra}]'"


@every_precision
class TestExport:
    def test_file_equals_the_reference(self, exported: Export, target: str, precision: str) -> None:
        parity = exported(target, precision).manifest.parity
        assert parity.verdict == "pass", parity.reasons
        assert parity.tolerance == get_target(target).precisions[precision]  # type: ignore[index]

    def test_check_covers_photographs_pictures_and_extremes(
        self, exported: Export, target: str, precision: str
    ) -> None:
        names = [case.case for case in exported(target, precision).manifest.parity.outputs[0].cases]
        generated = [name for name in names if name.startswith("generated-")]
        extremes = {"black", "white", "saturated-noise"}
        assert extremes <= set(names)
        assert len(generated) >= 8
        assert len(names) - len(generated) - len(extremes) >= 8

    def test_manifest_describes_the_file(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        path, manifest = exported(target, precision).path, exported(target, precision).manifest
        assert path.name.endswith(get_target(target).suffix)
        assert (manifest.file, manifest.sha256, manifest.bytes) == (path.name, digest(path), size(path))
        assert (manifest.target, manifest.precision) == (target, precision)
        assert manifest.labels == reference.labels
        assert manifest.model.preprocessing == reference.preprocess
        assert manifest.preprocessing == reference.preprocess.for_picture_input()
        assert manifest.converter == get_target(target).converters[0]
        assert manifest.model.weights_sha256 == reference.weights_sha256()
        assert set(get_target(target).libraries) < set(manifest.libraries)
        assert open_artifact(path)[1] == manifest

    def test_nothing_else_is_left_in_the_folder(self, exported: Export, target: str, precision: str) -> None:
        path = exported(target, precision).path
        assert {entry.name for entry in path.parent.iterdir()} == {path.name, manifest_path(path).name}

    def test_session_gives_what_the_manifest_declares(
        self, exported: Export, target: str, precision: str
    ) -> None:
        artifact, _ = open_artifact(exported(target, precision).path)
        session = get_target(target).open_session(artifact)
        inputs = [np.ones(spec.shape, dtype=spec.dtype) for spec in artifact.inputs]
        outputs = session.run(*inputs)
        assert [(array.shape, str(array.dtype)) for array in outputs] == [
            (spec.shape, spec.dtype) for spec in artifact.outputs
        ]
        assert all(np.array_equal(a, b) for a, b in zip(outputs, session.run(*inputs), strict=True))
        assert session.engine
        session.close()

    def test_swapped_channels_are_caught(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        _assert_swapped_channels_are_caught(exported(target, precision), reference)

    def test_wrongly_scaled_pixels_are_caught(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        _assert_wrong_scale_is_caught(exported(target, precision), reference)


@pytest.mark.parametrize(
    ("target", "precision"),
    [
        (name, str(precision))
        for name in target_names()
        for precision in (Precision.FP32, Precision.INT8)
        if precision in get_target(name).precisions
    ],
)
class TestTensorInput:
    """The tensor that the checkpoint takes; the other precisions are written by the same steps."""

    def test_swapped_channels_are_caught(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        _assert_swapped_channels_are_caught(exported(target, precision, input=Input.TENSOR), reference)

    def test_wrongly_scaled_pixels_are_caught(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        _assert_wrong_scale_is_caught(exported(target, precision, input=Input.TENSOR), reference)

    def test_file_equals_the_reference(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        manifest = exported(target, precision, input=Input.TENSOR).manifest
        assert manifest.parity.verdict == "pass", manifest.parity.reasons
        assert manifest.preprocessing == reference.preprocess
        assert manifest.inputs[0].name == "pixel_values"
        assert manifest.inputs[0].dtype == "float32"
        assert manifest.file.removesuffix(get_target(target).suffix).endswith(f"{precision}-tensor")


def _assert_swapped_channels_are_caught(made: Exported, reference: Reference) -> None:
    parity = _check_with(made, reference, np.flip)
    assert parity.verdict == "fail"
    assert "exceeds" in parity.reasons[0] or "below" in parity.reasons[0]


def _assert_wrong_scale_is_caught(made: Exported, reference: Reference) -> None:
    parity = _check_with(made, reference, lambda array, _: (array / 2).astype(array.dtype))
    assert parity.verdict == "fail"


class TestAccuracy:
    """Of the bundled models at their own size, on fewer pictures than an export looks at by default.

    In the precisions that lose most; the others are held to parity alone here.
    """

    @pytest.mark.parametrize(
        ("target", "precision"),
        [
            (name, str(precision))
            for name in sorted(BUILT_IN)
            for precision in (Precision.INT8, Precision.PALETTE4)
            if precision in get_target(name).precisions
        ],
    )
    def test_classifier_keeps_its_answers(
        self, target: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mobilevit_deploy.accuracy.pictures.HELD_OUT", 60)
        monkeypatch.setattr("mobilevit_deploy.quantize.calibration.GENERATED", 24)
        _assert_accurate("demo", target, precision, tmp_path)

    @pytest.mark.parametrize("target", sorted(BUILT_IN))
    def test_segmenter_keeps_its_pixels(
        self, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mobilevit_deploy.accuracy.pictures.HELD_OUT", 12)
        monkeypatch.setattr("mobilevit_deploy.quantize.calibration.GENERATED", 24)
        _assert_accurate("demo-segmentation", target, "int8", tmp_path)


def _assert_accurate(model: str, target: str, precision: str, folder: Path) -> None:
    require(target)
    manifest = export(model, target=target, precision=precision, output=folder).manifest
    assert manifest.passed, manifest.reasons
    assert manifest.accuracy is not None
    assert manifest.accuracy.evaluation is not None
    assert manifest.accuracy.evaluation.score.reference > 0.8
    assert (manifest.quantization is not None) == Precision(precision).calibrated


@every_target
class TestSegmentation:
    """The same promises for a model that classifies every pixel."""

    def test_logits_equal_the_reference(self, segmented: Segment, target: str) -> None:
        manifest = segmented(target).manifest
        assert manifest.parity.verdict == "pass", manifest.parity.reasons
        assert manifest.task == Task.SEGMENTATION
        assert manifest.labels[0] == "background"
        assert manifest.parity.outputs[0].top1_agreement >= 0.999

    def test_mask_equals_the_references(self, segmented: Segment, target: str) -> None:
        manifest = segmented(target, argmax=True).manifest
        assert manifest.parity.verdict == "pass", manifest.parity.reasons
        height, width = manifest.preprocessing.input_size or (0, 0)
        (mask,) = manifest.outputs
        assert (mask.name, mask.shape, mask.dtype) == ("mask", (1, height, width), "int32")

    def test_swapped_channels_are_caught(self, segmented: Segment, segmenter: Reference, target: str) -> None:
        made = segmented(target, argmax=True)
        parity = _check_with(made, segmenter, np.flip)
        assert parity.verdict == "fail"
        assert "of pixels" in parity.reasons[-1]

    def test_classifier_has_no_mask(self, reference: Reference, target: str, tmp_path: Path) -> None:
        require(target)
        with pytest.raises(UsageError, match="no segmentation model"):
            export(reference, target=target, argmax=True, output=tmp_path)


@every_target
class TestDescription:
    """What a file says about itself, without its manifest."""

    @pytest.mark.parametrize("kind", list(Input))
    def test_file_alone_tells_what_the_manifest_does(
        self, exported: Export, target: str, kind: Input
    ) -> None:
        made = exported(target, "fp32", input=kind)
        found = get_target(target).describe(made.path)
        assert found.card is not None
        assert found.card.preprocessing == made.manifest.preprocessing
        assert found.card.labels == made.manifest.labels
        assert found.inputs == made.manifest.inputs
        assert found.outputs == made.manifest.outputs
        assert disagreements(found, made.manifest) == []

    @pytest.mark.parametrize("argmax", [False, True])
    def test_segmentation_tells_its_task_and_classes(
        self, segmented: Segment, target: str, argmax: bool
    ) -> None:
        made = segmented(target, argmax=argmax)
        found = get_target(target).describe(made.path)
        assert found.card is not None
        assert found.card.task == Task.SEGMENTATION
        assert found.outputs == made.manifest.outputs
        assert disagreements(found, made.manifest) == []

    def test_describing_changes_nothing(self, artifact_copy: Callable[..., Path], target: str) -> None:
        path = artifact_copy(target)
        before = digest(path)
        get_target(target).describe(path)
        assert digest(path) == before

    def test_manifest_of_another_file_is_noticed(
        self, artifact_copy: Callable[..., Path], target: str
    ) -> None:
        path = artifact_copy(target)
        note = json.loads(manifest_path(path).read_text())
        note["labels"][0] = "something else"
        note["preprocessing"]["channel_order"] = "BGR"
        manifest_path(path).write_text(json.dumps(note))
        _, _, warnings = describe(path)
        assert any("labels" in warning for warning in warnings)
        assert any("preprocessing" in warning for warning in warnings)

    def test_file_of_another_kind(self, target: str, tmp_path: Path) -> None:
        require(target)
        path = tmp_path / f"holiday{get_target(target).suffix}"
        path.write_bytes(b"\x89PNG\r\n" + bytes(100))
        with pytest.raises(ArtifactError, match="holiday"):
            get_target(target).describe(path)


@every_target
class TestRefusal:
    def test_input_of_another_shape(self, exported: Export, target: str) -> None:
        session, wrong = _session(exported(target, "fp32")), np.zeros((1, 5, 7, 3), np.float32)
        with pytest.raises(SessionError):
            session.run(wrong)
        session.close()

    def test_input_of_another_type(self, exported: Export, target: str) -> None:
        artifact, _ = open_artifact(exported(target, "fp32").path)
        session = get_target(target).open_session(artifact)
        with pytest.raises(SessionError):
            session.run(np.zeros(artifact.inputs[0].shape, np.float64))
        session.close()

    def test_changed_file_is_noticed_by_its_digest(
        self, artifact_copy: Callable[..., Path], target: str
    ) -> None:
        path = artifact_copy(target)
        _overwrite_middle(path)
        with pytest.raises(ArtifactError, match="changed after export"):
            verify(path)

    def test_damaged_weights_are_caught_even_with_a_matching_digest(
        self, artifact_copy: Callable[..., Path], reference: Reference, target: str
    ) -> None:
        path = artifact_copy(target)
        _overwrite_middle(path)
        _sign_again(path)
        artifact, _ = open_artifact(path)
        try:
            parity = check(artifact, get_target(target), reference)
        except SessionError:
            return  # the runtime itself noticed
        assert parity.verdict == "fail"
        assert parity.reasons

    @pytest.mark.parametrize("kept", [0, 16, 0.5])
    def test_truncated_file(self, artifact_copy: Callable[..., Path], target: str, kept: float) -> None:
        path = artifact_copy(target)
        largest = _largest_file(path)
        content = largest.read_bytes()
        largest.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
        _sign_again(path)
        artifact, _ = open_artifact(path)
        with pytest.raises(SessionError):
            get_target(target).open_session(artifact)


def _session(made: Exported) -> Session:
    artifact, manifest = open_artifact(made.path)
    return get_target(manifest.target).open_session(artifact)


def _check_with(
    made: Exported, reference: Reference, change: Callable[[np.ndarray, int], np.ndarray]
) -> ParityResult:
    """The parity check of a correct file, fed wrongly by its user; ``change`` is told the channels' axis."""
    artifact, manifest = open_artifact(made.path)
    session = _session(made)
    cases = parity_cases(reference.preprocess)[8:]  # some photographs, and all that show the model's classes
    (given,), (wanted,) = artifact.inputs, artifact.outputs
    fed = [manifest.preprocessing.feed(case.picture, given) for case in cases]
    produced = [session.run(np.ascontiguousarray(change(array, given.layout.index("C")))) for array in fed]
    session.close()
    return compare(
        artifact.outputs,
        [case.name for case in cases],
        [(reference_output(reference, case.picture, wanted),) for case in cases],
        produced,
        tolerance=manifest.parity.tolerance,
        engine=session.engine,
        image_size=reference.image_size,
    )


def _largest_file(path: Path) -> Path:
    return path if path.is_file() else max(path.rglob("*.*"), key=lambda file: file.stat().st_size)


def _overwrite_middle(path: Path) -> None:
    """Overwrite a hundredth of the file, in its middle, with float32 threes: weights, in every format."""
    file = _largest_file(path)
    content = bytearray(file.read_bytes())
    count = len(content) // 400
    middle = len(content) // 8 * 4
    content[middle : middle + 4 * count] = np.full(count, 3, "<f4").tobytes()
    file.write_bytes(bytes(content))


def _sign_again(path: Path) -> None:
    note = manifest_path(path)
    manifest = json.loads(note.read_text())
    note.write_text(json.dumps({**manifest, "sha256": digest(path)}))


def test_contract_runs_on_what_can_run_here() -> None:
    """On a machine with every extra installed, no target may drop out of the contract silently."""
    for target in BUILT_IN:
        require(target)
