from __future__ import annotations

import pytest
from torch import nn

from conftest import card
from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target


@pytest.fixture(scope="session")
def small_spec() -> GraphSpec:
    return GraphSpec(
        input=TensorSpec(name="pixel_values", shape=(1, 3, 8, 8), dtype="float32", layout="NCHW"),
        output=TensorSpec(name="logits", shape=(1, 2), dtype="float32", layout="NC"),
        card=card(
            PreprocessSpec(resample="bilinear", crop=(8, 8), rescale_factor=1 / 255, channel_order="BGR"),
            ("Füchse, rot", "木"),
        ),
    )


@pytest.fixture(scope="session")
def small_artifact(small_spec: GraphSpec, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A convolution that says of itself what a whole model would: for tests of what lies around the graph."""
    out = tmp_path_factory.mktemp("small") / "small.tflite"
    return get_target("tflite").export(
        nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()).eval(),
        small_spec,
        ExportOptions(Precision.FP32, "litert-torch"),
        out,
    )
