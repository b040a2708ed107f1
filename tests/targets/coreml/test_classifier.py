"""Classifiers by Core ML's convention: what Vision recognises, and the same as coremltools writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mobilevit_deploy.targets.coreml.classifier import class_labels, make_classifier
from mobilevit_deploy.targets.coreml.mil_interpreter import MilInterpreter
from mobilevit_deploy.targets.coreml.package import read_package
from torch import nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision

LABELS = ["cat", "dog", "eel, young", "fox", "gnu"]


class TwoOutputs(nn.Module):
    """Logits, and their probabilities."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, len(LABELS))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[1, 4] -> [1, 5], [1, 5]."""
        logits = self.linear(x)
        return logits, logits.softmax(-1)


@pytest.fixture(scope="module")
def convert(ct: Any) -> Callable[..., Any]:
    """Convert ``TwoOutputs`` to the protobuf of a float32 ML program."""
    graph = TwoOutputs().eval().requires_grad_(False)
    program = torch.export.export(graph, (torch.zeros(1, 4),)).run_decompositions({})

    def run(**options: Any) -> Any:
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS16,
            compute_precision=ct.precision.FLOAT32,
            inputs=[ct.TensorType(name="x", shape=(1, 4))],
            skip_model_load=True,
            **options,
        )
        return model.get_spec()

    return run


def test_program_and_description_are_those_that_coremltools_writes(
    ct: Any, convert: Callable[..., Any]
) -> None:
    """It can write them as long as the types of outputs are left to it, in float32."""
    plain = convert()
    logits, probabilities = (output.name for output in plain.description.output)
    theirs = convert(
        classifier_config=ct.ClassifierConfig(LABELS, predicted_probabilities_output=probabilities)
    )
    make_classifier(plain, probabilities, LABELS)
    ours_block, their_block = (
        spec.mlProgram.functions["main"].block_specializations["CoreML6"] for spec in (plain, theirs)
    )
    assert ours_block.operations[-1] == their_block.operations[-1]
    assert list(ours_block.outputs) == list(their_block.outputs) == ["classLabel", "classLabel_probs", logits]
    assert list(plain.description.output) == list(theirs.description.output)
    assert plain.description.predictedFeatureName == theirs.description.predictedFeatureName == "classLabel"
    assert (
        plain.description.predictedProbabilitiesName
        == theirs.description.predictedProbabilitiesName
        == "classLabel_probs"
    )


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_label_and_probabilities_follow_from_the_logits(
    small_net: type[nn.Module],
    export_small: Callable[..., Artifact],
    tmp_path: Path,
    precision: Precision,
) -> None:
    artifact = export_small(small_net(nn.SiLU()), tmp_path, precision)
    pixels = np.random.default_rng(0).random(artifact.inputs[0].shape, np.float32)
    result = MilInterpreter(read_package(artifact.path).function).run({"pixel_values": pixels})
    logits = result["logits"][0].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert list(result["classLabel_probs"]) == ["a", "b", "c", "d", "e"]
    np.testing.assert_allclose(list(result["classLabel_probs"].values()), expected, atol=1e-3)
    assert result["classLabel"] == "abcde"[logits.argmax()]


def test_vision_finds_a_classifier(exported: Callable[..., Exported]) -> None:
    made = exported("coreml")
    description = read_package(made.path).description
    kinds = {output.name: output.type.WhichOneof("Type") for output in description.output}
    assert kinds == {
        "classLabel": "stringType",
        "classLabel_probs": "dictionaryType",
        "logits": "multiArrayType",
    }
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName == "classLabel_probs"
    assert [spec.name for spec in made.manifest.outputs] == ["logits"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["cat", "dog"], ["cat", "dog"]),
        (["crane", "fox", "crane"], ["crane", "fox", "crane #2"]),  # ImageNet: the bird and the machine
        (["a", "a", "a"], ["a", "a #1", "a #2"]),
        (["a #2", "a", "a"], ["a #2", "a", "a #2 #2"]),
        (["shape #0", "shape #1"], ["shape #0", "shape #1"]),
        (["tench, Tinca tinca", "Käse", ""], ["tench, Tinca tinca", "Käse", ""]),
    ],
)
def test_keys_of_the_dictionary_are_unique(labels: list[str], names: list[str]) -> None:
    assert class_labels(labels) == names
