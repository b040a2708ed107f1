"""Programs and packages to test Core ML with; the exports of the whole model come from tests/conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import card
from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.model.graph import PictureGraph
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

ODD = (65, 97)
"""A size that patches do not tile in any stage, so that maps are resized around each transformer."""


@pytest.fixture(scope="session")
def ct() -> Any:
    """coremltools."""
    from mobilevit_deploy.targets.coreml.toolkit import load_coremltools

    return load_coremltools()


@pytest.fixture(scope="session")
def mil_function(ct: Any) -> Callable[..., Any]:
    """Build a MIL function for iOS 16 with coremltools' builder, without any of its graph passes."""

    def build(
        body: Callable[..., Any], *shapes: Sequence[int], opset: str = "iOS16", dtype: str = "fp32"
    ) -> Any:
        from coremltools.converters.mil import Builder as mb  # noqa: N813
        from coremltools.converters.mil.mil import types

        inputs = [mb.TensorSpec(shape=shape, dtype=types.string_to_builtin(dtype)) for shape in shapes]
        program = mb.program(input_specs=inputs, opset_version=getattr(ct.target, opset))(body)
        return program.functions["main"]

    return build


@pytest.fixture(scope="session")
def odd_fp16(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The bundled model at a size that patches do not tile, in float16, fed with a tensor."""
    resized = reference.resized(ODD)
    output = tmp_path_factory.mktemp("coreml-odd")
    return export(resized, target="coreml", precision="fp16", input="tensor", output=output)


class SmallNet(nn.Module):
    """A convolution, an activation and a pooled linear layer: exports in half a second."""

    def __init__(self, activation: nn.Module, *, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.activation = activation
        self.classifier = nn.Linear(width, 5)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """[1, 3, h, w] -> [1, 5]."""
        logits: torch.Tensor = self.classifier(self.activation(4 * self.conv(picture)).mean((-2, -1)))
        return logits


@pytest.fixture(scope="session")
def small_net() -> type[nn.Module]:
    """``SmallNet(activation, width=8)``."""
    return SmallNet


@pytest.fixture(scope="session")
def small_spec() -> GraphSpec:
    """What ``SmallNet`` takes and gives."""
    return GraphSpec(
        input=TensorSpec(name="pixel_values", shape=(1, 3, 10, 14), dtype="float32", layout="NCHW"),
        output=TensorSpec(name="logits", shape=(1, 5), dtype="float32", layout="NC"),
        card=card(
            PreprocessSpec(
                resize_to=(10, 14),
                resample="bilinear",
                crop=None,
                rescale_factor=1 / 255,
                channel_order="BGR",
            ),
            ("a", "b", "c", "d", "e"),
        ),
    )


@pytest.fixture(scope="session")
def picture_spec(small_spec: GraphSpec) -> GraphSpec:
    """What a ``PictureGraph`` around ``SmallNet`` takes and gives."""
    given = TensorSpec(name="image", shape=(1, 10, 14, 3), dtype="uint8", layout="NHWC")
    left = small_spec.card.preprocessing.for_picture_input()
    return GraphSpec(given, small_spec.output, small_spec.card.model_copy(update={"preprocessing": left}))


@pytest.fixture(scope="session")
def export_small(small_spec: GraphSpec) -> Callable[..., Artifact]:
    """Export a module that takes and gives what ``SmallNet`` does, or what ``spec`` says."""

    def run(
        graph: nn.Module, folder: Path, precision: Precision = Precision.FP32, spec: GraphSpec | None = None
    ) -> Artifact:
        frozen = graph.eval().requires_grad_(False)
        return get_target("coreml").export(
            frozen, spec or small_spec, ExportOptions(precision), folder / "small.mlpackage"
        )

    return run


@pytest.fixture(scope="session")
def picture_artifact(
    picture_spec: GraphSpec, export_small: Callable[..., Artifact], tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """``SmallNet`` with SiLU, fed with a picture, in float32."""
    graph = PictureGraph(SmallNet(nn.SiLU()))
    return export_small(graph, tmp_path_factory.mktemp("picture"), spec=picture_spec)
