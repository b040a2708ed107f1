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
from mobilevit_deploy.artifact import digest, manifest_path, open_artifact, size, to_layout
from mobilevit_deploy.errors import ArtifactError, SessionError
from mobilevit_deploy.parity.cases import parity_cases
from mobilevit_deploy.parity.compare import compare
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.pipeline import Exported, check, verify
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import Session, get_target, target_names

BUILT_IN = {"coreml", "executorch", "onnx", "tflite"}

every_target = pytest.mark.parametrize("target", target_names())
every_precision = pytest.mark.parametrize(
    ("target", "precision"),
    [(name, str(precision)) for name in target_names() for precision in get_target(name).precisions],
)
Export = Callable[[str, str], Exported]


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
        assert manifest.preprocessing == reference.preprocess
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
        inputs = [np.full(spec.shape, 0.5, dtype=spec.dtype) for spec in artifact.inputs]
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
        parity = _check_with(exported(target, precision), reference, lambda pixels: pixels[:, ::-1])
        assert parity.verdict == "fail"
        assert "exceeds" in parity.reasons[0] or "below" in parity.reasons[0]

    def test_unscaled_pixels_are_caught(
        self, exported: Export, reference: Reference, target: str, precision: str
    ) -> None:
        parity = _check_with(exported(target, precision), reference, lambda pixels: pixels * 255)
        assert parity.verdict == "fail"


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
    made: Exported, reference: Reference, change: Callable[[np.ndarray], np.ndarray]
) -> ParityResult:
    """The parity check of a correct file whose user feeds it wrongly."""
    artifact, manifest = open_artifact(made.path)
    session = _session(made)
    cases = parity_cases(manifest.preprocessing)[:10]
    layout = artifact.inputs[0].layout
    produced = [session.run(to_layout(change(case.pixel_values), "NCHW", layout)) for case in cases]
    session.close()
    return compare(
        artifact.outputs,
        [case.name for case in cases],
        [(reference.run(case.pixel_values),) for case in cases],
        produced,
        tolerance=manifest.parity.tolerance,
        engine=session.engine,
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
