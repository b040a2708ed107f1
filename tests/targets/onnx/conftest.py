"""A graph so small that it converts in a second, for tests that are not about MobileViT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import card
from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

FP32 = ExportOptions(Precision.FP32)


@pytest.fixture(scope="session")
def small_spec() -> GraphSpec:
    """[1, 3, 8, 8] -> [1, 2]."""
    preprocess = PreprocessSpec(resample="bilinear", crop=(8, 8), rescale_factor=1 / 255, channel_order="BGR")
    return GraphSpec(
        input=TensorSpec(name="pixel_values", shape=(1, 3, 8, 8), dtype="float32", layout="NCHW"),
        output=TensorSpec(name="logits", shape=(1, 2), dtype="float32", layout="NC"),
        card=card(preprocess, ("Füchse, rot", "木")),
    )


@pytest.fixture(scope="session")
def small_graph() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()).eval()


@pytest.fixture(scope="session")
def small_artifact(
    small_graph: nn.Module, small_spec: GraphSpec, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    out: Path = tmp_path_factory.mktemp("small") / "small.onnx"
    return get_target("onnx").export(small_graph, small_spec, FP32, out)
