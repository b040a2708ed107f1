"""What a package tells without its manifest, and what happens when it cannot."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mobilevit_deploy.targets.coreml.package import MODEL_FILE, read_package
from torch import nn

from mobilevit_deploy.artifact import Artifact, TensorSpec, digest
from mobilevit_deploy.description import CARD_KEY, Description
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.image.palette import palette
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import GraphSpec, get_target
from mobilevit_deploy.task import Task

PREVIEW = "com.apple.coreml.model.preview."


def describe(path: Path) -> Description:
    return get_target("coreml").describe(path)


@pytest.fixture
def changed(ct: Any, picture_artifact: Artifact, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a small package, its protobuf changed by a function."""

    def copy(change: Callable[[Any], object]) -> Path:
        path = Path(shutil.copytree(picture_artifact.path, tmp_path / "changed.mlpackage"))
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString((path / MODEL_FILE).read_bytes())
        change(spec)
        (path / MODEL_FILE).write_bytes(spec.SerializeToString())
        return path

    return copy


class TestWhatItTells:
    def test_inputs_outputs_and_card(self, picture_artifact: Artifact, picture_spec: GraphSpec) -> None:
        found = describe(picture_artifact.path)
        assert found.inputs == picture_artifact.inputs
        assert found.inputs[0].container == "CVPixelBuffer"
        assert found.inputs[0].model_copy(update={"container": ""}) == picture_spec.input
        assert found.outputs == (picture_spec.output,)
        assert found.card == picture_spec.card
        assert found.labels == picture_spec.card.labels

    def test_reading_changes_nothing(self, picture_artifact: Artifact) -> None:
        before = digest(picture_artifact.path)
        describe(picture_artifact.path)
        assert digest(picture_artifact.path) == before

    def test_details(self, picture_artifact: Artifact) -> None:
        details = describe(picture_artifact.path).details
        assert details["runs on"] == "iOS 16, macOS 13 (specification version 7)"
        assert details["operations"].startswith("7: 1 ")
        assert "1 conv" in details["operations"]
        assert details["computes in"] == "fp32"
        assert details["weights"].startswith("0.00 MB of fp32")
        assert details["classifier"] == "classLabel (best class), classLabel_probs (dictionary)"

    def test_half_precision(
        self, small_net: type[nn.Module], export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        details = describe(export_small(small_net(nn.ReLU()), tmp_path, Precision.FP16).path).details
        assert details["computes in"] == "fp16"
        assert details["weights"].startswith("0.00 MB of fp16")

    def test_command_says_pixel_buffer_as_an_app_does(
        self, cli: Callable[..., subprocess.CompletedProcess[str]], exported: Callable[..., Exported]
    ) -> None:
        done = cli("describe", exported("coreml", "fp32").path)
        assert done.returncode == 0, done.stderr
        said = " ".join(done.stdout.split())
        assert "takes image: CVPixelBuffer of 96 \N{MULTIPLICATION SIGN} 96 px" in said
        assert "Hand it over as a CVPixelBuffer" in said
        assert "uint8" not in said

    def test_mask(self, segmented: Callable[..., Exported]) -> None:
        made = segmented("coreml", "fp32", argmax=True)
        found = describe(made.path)
        assert found.outputs == made.manifest.outputs
        assert found.labels == made.manifest.labels
        assert "classifier" not in found.details
        assert "1 reduce_argmax" in found.details["operations"]


class TestConventions:
    """What Xcode shows."""

    def test_classifier(self, picture_artifact: Artifact) -> None:
        description = read_package(picture_artifact.path).description
        assert description.metadata.shortDescription == (
            "MobileViT for image classification, 5 classes, input 14x10 pixels"
        )
        assert description.metadata.author == "Exported by mobilevit-deploy tests"
        assert description.metadata.versionString == version("mobilevit-deploy")
        assert description.metadata.userDefined[PREVIEW + "type"] == "imageClassifier"
        assert description.input[0].shortDescription == (
            "Picture of 14x10 pixels, resized and cropped, as a CVPixelBuffer such as 32BGRA"
        )
        assert all(output.shortDescription for output in description.output)

    def test_no_licence_is_invented(self, picture_artifact: Artifact) -> None:
        assert read_package(picture_artifact.path).description.metadata.license == ""

    def test_tensor(
        self, small_net: type[nn.Module], export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        description = read_package(export_small(small_net(nn.ReLU()), tmp_path).path).description
        assert description.input[0].shortDescription == (
            "NCHW, channels in BGR order, 8-bit levels times 0.00392157"
        )
        # Xcode previews what takes pictures.
        assert PREVIEW + "type" not in description.metadata.userDefined

    def test_segmentation_has_names_and_colours(self, segmented: Callable[..., Exported]) -> None:
        made = segmented("coreml", "fp32", argmax=True)
        metadata = read_package(made.path).description.metadata.userDefined
        assert metadata[PREVIEW + "type"] == "imageSegmenter"
        parameters = json.loads(metadata[PREVIEW + "params"])
        assert tuple(parameters["labels"]) == made.manifest.labels
        colours = [tuple(bytes.fromhex(colour.removeprefix("#"))) for colour in parameters["colors"]]
        assert colours == [tuple(colour) for colour in palette(len(colours)).tolist()]
        assert len(colours) == len(made.manifest.labels)

    @pytest.mark.parametrize("labels", [("a", "a", "b", "a", "b"), ("x #0", "x #1", "x #2", "x #3", "x #4")])
    def test_labels_are_told_as_they_were_given(
        self,
        small_net: type[nn.Module],
        small_spec: GraphSpec,
        export_small: Callable[..., Artifact],
        tmp_path: Path,
        labels: tuple[str, ...],
    ) -> None:
        spec = replace(small_spec, card=small_spec.card.model_copy(update={"labels": labels}))
        assert describe(export_small(small_net(nn.ReLU()), tmp_path, spec=spec).path).labels == labels


class TestForeignPackages:
    def test_card_is_missing(self, changed: Callable[..., Path]) -> None:
        found = describe(changed(lambda spec: spec.description.metadata.userDefined.clear()))
        assert found.card is None
        assert found.labels == ("a", "b", "c", "d", "e")
        assert found.inputs[0].shape == (1, 10, 14, 3)

    def test_types_and_systems_of_others(self, changed: Callable[..., Path]) -> None:
        def change(spec: Any) -> None:
            grey = spec.description.input[0].type.imageType
            grey.colorSpace = grey.GRAYSCALE
            array = spec.description.output[2].type.multiArrayType
            array.dataType = array.FLOAT16
            spec.specificationVersion = 8

        found = describe(changed(change))
        assert found.inputs == (
            TensorSpec(
                name="image", shape=(1, 10, 14, 1), dtype="uint8", layout="NHWC", container="CVPixelBuffer"
            ),
        )
        assert found.outputs[0].dtype == "float16"
        assert found.details["runs on"] == "iOS 17, macOS 14 (specification version 8)"

    def test_damaged_card(self, changed: Callable[..., Path]) -> None:
        def change(spec: Any) -> None:
            spec.description.metadata.userDefined[CARD_KEY] = '{"producer": 3}'

        with pytest.raises(ArtifactError, match=r"card in .*changed\.mlpackage is damaged at producer"):
            describe(changed(change))

    def test_damaged_names_of_classes(self, changed: Callable[..., Path]) -> None:
        def change(spec: Any) -> None:
            function = spec.mlProgram.functions["main"]
            block = function.block_specializations[function.opset]
            del block.operations[-1]
            block.outputs[:] = ["logits"]
            spec.description.metadata.userDefined[PREVIEW + "params"] = "{labels"

        with pytest.raises(ArtifactError, match="names of classes"):
            describe(changed(change))

    @pytest.mark.parametrize(
        "damage",
        [
            shutil.rmtree,
            lambda path: (path / "Manifest.json").write_text("{"),
            lambda path: (path / MODEL_FILE).write_bytes((path / MODEL_FILE).read_bytes()[:3000]),
            lambda path: (path / MODEL_FILE.with_name("weights") / "weight.bin").write_bytes(b"short"),
        ],
        ids=["missing", "manifest", "program", "weights"],
    )
    def test_damage(self, changed: Callable[..., Path], damage: Callable[[Path], object]) -> None:
        path = changed(lambda _: None)
        damage(path)
        with pytest.raises(ArtifactError, match=r"changed\.mlpackage cannot be read"):
            describe(path)

    def test_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        path = tmp_path / "holiday.mlpackage"
        path.write_bytes(b"\x89PNG")
        with pytest.raises(ArtifactError, match="holiday"):
            describe(path)


def test_task_of_a_segmenter(segmented: Callable[..., Exported]) -> None:
    found = describe(segmented("coreml", "fp32", argmax=True).path)
    assert found.card is not None
    assert found.card.task is Task.SEGMENTATION
