"""A graph so small that ExecuTorch lowers it in a second, for tests that are not about MobileViT."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from conftest import card
from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

FP32 = ExportOptions(Precision.FP32)


@pytest.fixture(scope="session")
def small_spec(reference: Reference) -> GraphSpec:
    """[1, 3, 4, 4] -> [1, 2]."""
    return GraphSpec(
        input=TensorSpec(name="pixel_values", shape=(1, 3, 4, 4), dtype="float32", layout="NCHW"),
        output=TensorSpec(name="logits", shape=(1, 2), dtype="float32", layout="NC"),
        card=card(reference.preprocess, ("Füchse, rot", "木")),
    )


@pytest.fixture(scope="session")
def small_graph() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Flatten(), nn.Linear(32, 2)).eval()


@pytest.fixture(scope="session")
def small_artifact(
    small_graph: nn.Module, small_spec: GraphSpec, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    out = tmp_path_factory.mktemp("small") / "small.pte"
    return get_target("executorch").export(small_graph, small_spec, FP32, out)
