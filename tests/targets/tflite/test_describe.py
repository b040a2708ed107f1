from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from torch import nn

from fakes.flatbuffer_schema import Schema
from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.description import CARD_KEY, Card, Description
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

GOLDEN = Path(__file__).parents[2] / "golden"


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

    def test_label_of_two_lines_is_one_label(self, small_spec: GraphSpec, tmp_path: Path) -> None:
        labels = ("fox\nred", "木")
        spec = replace(small_spec, card=small_spec.card.model_copy(update={"labels": labels}))
        graph = nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()).eval()
        out = tmp_path / "small.tflite"
        get_target("tflite").export(graph, spec, ExportOptions(Precision.FP32, "litert-torch"), out)
        assert described(out).labels == labels
        with zipfile.ZipFile(out) as archive:
            assert archive.read("labels.txt").decode().splitlines() == ["fox red", "木"]

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


class TestMediaPipe:
    """Its own tasks take the files as they are; where it is installed."""

    def test_classifier(self, exported: Callable[[str], Exported]) -> None:
        mediapipe = pytest.importorskip("mediapipe")
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        made = exported("tflite")
        picture = noise(made)
        options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(made.path)))
        with vision.ImageClassifier.create_from_options(options) as classifier:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            (found,) = classifier.classify(image).classifications
        scores = {category.category_name: category.score for category in found.categories}
        for label, logit in zip(made.manifest.labels, logits(made, picture)[0], strict=True):
            assert scores[label] == pytest.approx(logit, abs=1e-4)

    def test_segmenter(self, segmented: Callable[[str], Exported]) -> None:
        mediapipe = pytest.importorskip("mediapipe")
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        made = segmented("tflite")
        picture = noise(made)
        options = vision.ImageSegmenterOptions(
            base_options=BaseOptions(model_asset_path=str(made.path)), output_confidence_masks=True
        )
        with vision.ImageSegmenter.create_from_options(options) as segmenter:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            masks = [mask.numpy_view().squeeze().copy() for mask in segmenter.segment(image).confidence_masks]
            assert tuple(segmenter.labels) == made.manifest.labels
        # It takes the softmax first, and enlarges the probabilities.
        scores = torch.from_numpy(logits(made, picture)).permute(0, 3, 1, 2).softmax(dim=1)
        expected = F.interpolate(scores, size=picture.shape[:2], mode="bilinear", align_corners=False)
        assert np.abs(np.stack(masks) - expected[0].numpy()).max() < 1e-4


def noise(made: Exported) -> np.ndarray:
    shape = made.manifest.inputs[0].shape[1:]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def logits(made: Exported, picture: np.ndarray) -> np.ndarray:
    session = get_target("tflite").open_session(made.manifest.artifact(made.path.parent))
    (found,) = session.run(picture[None])
    return found


class TestPublishedSchema:
    """What a program finds that knows nothing but the schema, as MediaPipe and TFLite Support do."""

    def test_tensor_of_a_classifier(self, small_artifact: Artifact) -> None:
        told = published(small_artifact.path)
        (subgraph,) = told["subgraph_metadata"]
        (given,), (wanted,) = subgraph["input_tensor_metadata"], subgraph["output_tensor_metadata"]
        assert (given["name"], wanted["name"]) == ("pixel_values", "logits")
        assert given["dimension_names"] == list("NHWC")
        # No colour space: the schema knows no BGR.
        assert given["content"]["content_properties"] == {"default_size": {"width": 8, "height": 8}}
        assert "BGR" in given["description"]
        (unit,) = given["process_units"]
        assert unit["options_type"] == "NormalizationOptions"
        assert unit["options"] == {"mean": [0, 0, 0], "std": pytest.approx([255] * 3)}
        (labels,) = wanted["associated_files"]
        assert (labels["name"], labels["type"]) == ("labels.txt", "TENSOR_AXIS_LABELS")
        assert told["min_parser_version"] == "1.0.0"

    def test_picture(self, exported: Callable[[str], Exported]) -> None:
        ((given,),) = (each["input_tensor_metadata"] for each in subgraphs(exported("tflite")))
        assert given["content"]["content_properties"]["color_space"] == "RGB"
        (unit,) = given["process_units"]
        assert unit["options"] == {"mean": [0, 0, 0], "std": [1, 1, 1]}

    def test_probabilities_of_pixels_are_a_softmax(self, segmented: Callable[..., Exported]) -> None:
        made = segmented("tflite")
        (subgraph,) = subgraphs(made)
        (custom,) = subgraph["custom_metadata"]
        assert custom["name"] == "SEGMENTER_METADATA"
        options = Schema.read(GOLDEN / "image_segmenter_metadata_schema.fbs").decode(bytes(custom["data"]))
        assert options == {"activation": "SOFTMAX"}
        assert published(made.path)["min_parser_version"] == "1.5.0"

    def test_values_of_a_mask_have_names(self, segmented: Callable[..., Exported]) -> None:
        (subgraph,) = subgraphs(segmented("tflite", argmax=True))
        (wanted,) = subgraph["output_tensor_metadata"]
        (labels,) = wanted["associated_files"]
        assert (wanted["dimension_names"], labels["type"]) == (list("NHW"), "TENSOR_VALUE_LABELS")
        assert "custom_metadata" not in subgraph


def published(path: Path) -> dict[str, Any]:
    """The metadata of a file, read by the schema that MediaPipe publishes."""
    return Schema.read(GOLDEN / "metadata_schema.fbs").decode(buffers(path)["TFLITE_METADATA"])


def subgraphs(made: Exported) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = published(made.path)["subgraph_metadata"]
    return found


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
