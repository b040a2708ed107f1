from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.description import CARD_KEY, Description
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.target import GraphSpec, get_target


def described(path: Path) -> Description:
    return get_target("onnx").describe(path)


class TestOwnFile:
    def test_gives_back_what_went_in(self, small_artifact: Artifact, small_spec: GraphSpec) -> None:
        found = described(small_artifact.path)
        assert found.card == small_spec.card
        assert found.labels == small_spec.card.labels == ("Füchse, rot", "木")
        assert (found.inputs, found.outputs) == ((small_spec.input,), (small_spec.output,))

    def test_tells_what_it_is_made_of(self, small_artifact: Artifact) -> None:
        details = described(small_artifact.path).details
        assert details["producer"] == "mobilevit-deploy tests"
        assert details["operator sets"] == "ai.onnx 18"
        assert details["operators"] in {"2: 1 Conv, 1 Reshape", "2: 1 Conv, 1 Flatten"}
        assert details["parameters"] == f"{2 * 3 * 8 * 8 + 2}"

    def test_is_told_from_the_file_alone_wherever_it_lies(
        self, small_artifact: Artifact, small_spec: GraphSpec, tmp_path: Path
    ) -> None:
        moved = tmp_path / "a file.bin"
        moved.write_bytes(small_artifact.path.read_bytes())
        assert described(moved).card == small_spec.card


class TestConventions:
    """What other programs read."""

    def test_onnx_runtime_gives_an_app_labels_and_preprocessing(
        self, small_artifact: Artifact, small_spec: GraphSpec
    ) -> None:
        found = onnxruntime.InferenceSession(small_artifact.path).get_modelmeta()
        properties = found.custom_metadata_map
        assert json.loads(properties["labels"]) == ["Füchse, rot", "木"]
        read = PreprocessSpec.model_validate_json(properties["preprocessing"])
        assert read == small_spec.card.preprocessing
        assert properties["task"] == "image-classification"
        assert found.producer_name == "mobilevit-deploy"
        assert found.graph_name == "small"
        assert found.description == "small: image classification, 2 classes."

    def test_tensor_is_denoted_as_an_image_of_the_checkpoints_order_and_range(
        self, small_artifact: Artifact
    ) -> None:
        model = onnx.load(small_artifact.path)
        assert image_properties(model) == ("Bgr8", "SRGB", "Normalized_0_1")
        assert denotations(model.graph.input[0]) == (
            "IMAGE",
            ["DATA_BATCH", "DATA_CHANNEL", "DATA_FEATURE", "DATA_FEATURE"],
        )
        assert denotations(model.graph.output[0]) == ("TENSOR", ["DATA_BATCH", "DATA_CHANNEL"])

    def test_picture_is_denoted_as_one(self, exported: Callable[[str], Exported]) -> None:
        model = onnx.load(exported("onnx").path)
        assert image_properties(model) == ("Rgb8", "SRGB", "NominalRange_0_255")
        assert denotations(model.graph.input[0]) == (
            "IMAGE",
            ["DATA_BATCH", "DATA_FEATURE", "DATA_FEATURE", "DATA_CHANNEL"],
        )


def image_properties(model: onnx.ModelProto) -> tuple[str, ...]:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    return tuple(
        properties[f"Image.{name}"] for name in ("BitmapPixelFormat", "ColorSpaceGamma", "NominalPixelRange")
    )


def denotations(value: onnx.ValueInfoProto) -> tuple[str, list[str]]:
    return value.type.denotation, [axis.denotation for axis in value.type.tensor_type.shape.dim]


class TestFileOfAnotherProgram:
    @pytest.fixture
    def other(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            [
                helper.make_node("Add", ["x", "w"], ["y"]),
                helper.make_node("Gelu", ["y"], ["z"], domain="org.x"),
            ],
            "other",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["batch", 3, 5, 7]),
                helper.make_tensor_value_info("w", TensorProto.FLOAT16, [1]),
            ],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT16, ["batch", 3, 5, 7])],
            [helper.make_tensor("w", TensorProto.FLOAT16, [1], b"\x00\x3c", raw=True)],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("org.x", 1)]
        )

    def test_is_described_as_far_as_it_tells(self, other: onnx.ModelProto, tmp_path: Path) -> None:
        onnx.save(other, tmp_path / "other.onnx")
        found = described(tmp_path / "other.onnx")
        assert (found.card, found.labels) == (None, None)
        assert found.inputs == (TensorSpec(name="x", shape=(-1, 3, 5, 7), dtype="float16", layout="NCHW"),)
        assert found.details["operators"] == "2: 1 Add, 1 org.x.Gelu"
        assert found.details["operator sets"] == "ai.onnx 20, org.x 1"
        assert found.details["parameters"] == "1"
        assert "producer" not in found.details

    def test_labels_written_in_another_way_are_left_alone(
        self, other: onnx.ModelProto, tmp_path: Path
    ) -> None:
        for value in ("cat,dog", '{"0": "cat"}', "[1, 2]"):
            helper.set_model_props(other, {"labels": value})
            onnx.save(other, tmp_path / "other.onnx")
            assert described(tmp_path / "other.onnx").labels is None

    def test_weights_in_a_file_that_is_missing_do_not_matter(
        self, other: onnx.ModelProto, tmp_path: Path
    ) -> None:
        onnx.external_data_helper.convert_model_to_external_data(other, location="w.bin", size_threshold=0)
        onnx.save(other, tmp_path / "other.onnx")
        (tmp_path / "w.bin").unlink()
        assert described(tmp_path / "other.onnx").details["parameters"] == "1"


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [b"", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"Dear all,\nplease find attached\n", b"\0" * 500],
        ids=["empty", "picture", "text", "zeros"],
    )
    def test_what_is_no_onnx_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "holiday.onnx"
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"holiday\.onnx (is|holds) no ONNX model"):
            described(path)

    def test_file_that_was_cut_off(self, small_artifact: Artifact, tmp_path: Path) -> None:
        content = small_artifact.path.read_bytes()
        path = tmp_path / "cut.onnx"
        outcomes = []
        for end in range(0, len(content), 7):
            path.write_bytes(content[:end])
            try:
                described(path)
            except ArtifactError as error:
                outcomes.append(error.problem)
        # An entry of metadata more or less is a model still; the manifest's sha256 is what notices.
        assert len(outcomes) >= len(range(0, len(content), 7)) - 10
        assert all("cut.onnx" in problem for problem in outcomes)

    def test_folder_and_missing_file(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "absent.onnx"):
            with pytest.raises(ArtifactError, match="cannot be read"):
                described(path)

    @pytest.mark.parametrize(
        ("card", "where"), [("{", "its beginning"), ('{"producer": 1}', "producer")], ids=["cut", "type"]
    )
    def test_card_that_is_none(self, small_artifact: Artifact, tmp_path: Path, card: str, where: str) -> None:
        model = onnx.load(small_artifact.path)
        for entry in model.metadata_props:
            if entry.key == CARD_KEY:
                entry.value = card
        onnx.save(model, tmp_path / "card.onnx")
        with pytest.raises(ArtifactError, match=rf"card in .*card\.onnx is damaged at {where}"):
            described(tmp_path / "card.onnx")
