from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.description import CARD_KEY, Card, Description
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.target import GraphSpec, get_target


def described(path: Path) -> Description:
    return get_target("tflite").describe(path)


def buffers(path: Path) -> dict[str, bytes]:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    return {entry.name.decode(): bytes(model.buffers[entry.buffer].data) for entry in model.metadata}


@pytest.fixture
def damaged(small_artifact: Artifact, tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "damaged.tflite"
        path.write_bytes(content)
        return path

    return write


class TestOwnFile:
    def test_gives_back_what_went_in(self, small_artifact: Artifact, small_spec: GraphSpec) -> None:
        found = described(small_artifact.path)
        assert found.card == small_spec.card
        assert found.labels == small_spec.card.labels == ("Füchse, rot", "木")
        assert (found.inputs, found.outputs) == (small_artifact.inputs, small_artifact.outputs)

    def test_tells_what_it_is_made_of(self, small_artifact: Artifact) -> None:
        details = described(small_artifact.path).details
        assert details["producer"] == "mobilevit-deploy tests (litert-torch)"
        assert "1 CONV_2D" in details["operators"]
        assert details["metadata"] == "TFLite metadata, version 1.0.0"

    def test_whole_model(self, exported: Callable[[str], Exported]) -> None:
        found, manifest = described(exported("tflite").path), exported("tflite").manifest
        assert (found.inputs, found.outputs) == (manifest.inputs, manifest.outputs)
        assert found.labels == manifest.labels
        assert found.card is not None
        assert found.card.weights_sha256 == manifest.model.weights_sha256


class TestConventions:
    """What other programs read."""

    def test_any_unzip_finds_the_labels(self, small_artifact: Artifact) -> None:
        with zipfile.ZipFile(small_artifact.path) as archive:
            assert archive.testzip() is None
            (entry,) = archive.infolist()
            # MediaPipe reads stored entries only.
            assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
            assert archive.read(entry).decode() == "Füchse, rot\n木\n"

    def test_metadata_carry_the_published_identifier(self, small_artifact: Artifact) -> None:
        assert buffers(small_artifact.path)["TFLITE_METADATA"][4:8] == b"M001"

    def test_card_is_json(self, small_artifact: Artifact, small_spec: GraphSpec) -> None:
        written = buffers(small_artifact.path)[CARD_KEY]
        assert json.loads(written)["labels"] == list(small_spec.card.labels)
        assert Card.model_validate_json(written) == small_spec.card

    def test_runtime_ignores_what_is_packed(self, small_artifact: Artifact) -> None:
        interpreter = Interpreter(model_path=str(small_artifact.path))
        interpreter.allocate_tensors()
        assert list(interpreter.get_signature_list().values()) == [
            {"inputs": ["pixel_values"], "outputs": ["logits"]}
        ]

    def test_mediapipe_reads_the_metadata(self, small_artifact: Artifact) -> None:
        read = published_metadata(buffers(small_artifact.path)["TFLITE_METADATA"])
        (subgraph,) = read.subgraphMetadata
        (given,), (wanted,) = subgraph.inputTensorMetadata, subgraph.outputTensorMetadata
        assert (given.name, wanted.name) == (b"pixel_values", b"logits")
        assert given.content.contentProperties.colorSpace == 0  # the schema knows no BGR
        assert b"BGR" in given.description
        (normalization,) = given.processUnits
        assert list(normalization.options.mean) == [0, 0, 0]
        assert list(normalization.options.std) == pytest.approx([255] * 3)
        (labels,) = wanted.associatedFiles
        assert (labels.name, labels.type) == (b"labels.txt", 2)  # TENSOR_AXIS_LABELS

    def test_mediapipe_classifies_with_the_file_as_it_is(self, exported: Callable[[str], Exported]) -> None:
        mediapipe = pytest.importorskip("mediapipe")
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        path, manifest = exported("tflite").path, exported("tflite").manifest
        picture = np.random.default_rng(0).integers(0, 256, manifest.inputs[0].shape[1:], dtype=np.uint8)
        options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)))
        with vision.ImageClassifier.create_from_options(options) as classifier:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            (found,) = classifier.classify(image).classifications
        scores = {category.category_name: category.score for category in found.categories}
        (logits,) = get_target("tflite").open_session(manifest.artifact(path.parent)).run(picture[None])
        for label, logit in zip(manifest.labels, logits[0], strict=True):
            assert scores[label] == pytest.approx(logit, abs=1e-4)


def published_metadata(content: bytes) -> Any:
    """Parsed by the code that MediaPipe generates from the schema; its package's other parts stay alone."""
    package = util.find_spec("mediapipe")
    if package is None or package.origin is None:
        pytest.skip("mediapipe is not installed")
    generated = Path(package.origin).parent / "tasks" / "metadata" / "metadata_schema_py_generated.py"
    spec = util.spec_from_file_location("metadata_schema", generated)
    assert spec is not None
    assert spec.loader is not None
    schema = util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    return schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAsModelMetadata(content, 0))


class TestOtherFiles:
    def test_another_programs_file(self, small_artifact: Artifact, damaged: Callable[[bytes], Path]) -> None:
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(small_artifact.path.read_bytes()))
        model.metadata = None
        found = described(damaged(bytes(flatbuffer_utils.convert_object_to_bytearray(model))))
        assert (found.card, found.labels) == (None, None)
        assert [tensor.name for tensor in found.inputs] == ["pixel_values"]

    @pytest.mark.parametrize("kept", [0, 1, 8, 64, 1000, 0.5, 0.9, -1000, -100, -1])
    def test_truncated_file(
        self, small_artifact: Artifact, damaged: Callable[[bytes], Path], kept: float
    ) -> None:
        content = small_artifact.path.read_bytes()
        end = int(kept * len(content)) if isinstance(kept, float) else kept
        with pytest.raises(ArtifactError, match=r"damaged\.tflite is damaged, or no \.tflite file"):
            described(damaged(content[:end]))

    def test_card_that_is_none(self, small_artifact: Artifact, damaged: Callable[[bytes], Path]) -> None:
        content = small_artifact.path.read_bytes().replace(b'"producer"', b'"products"')
        with pytest.raises(ArtifactError, match=r"damaged\.tflite"):
            described(damaged(content))

    def test_file_of_another_kind(self, damaged: Callable[[bytes], Path]) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("labels.txt", "a\nb\n")
        with pytest.raises(ArtifactError, match=r"is damaged, or no \.tflite file"):
            described(damaged(archive.getvalue()))

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="cannot be read: No such file"):
            described(tmp_path / "missing.tflite")
