"""Programs made smaller compute the same, from names that a reader knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mobilevit_deploy.targets.coreml import export
from mobilevit_deploy.targets.coreml.mil_interpreter import MilInterpreter
from mobilevit_deploy.targets.coreml.package import MODEL_FILE, read_package
from torch import nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision


def operations(ct: Any, package: Path) -> list[Any]:
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString((package / MODEL_FILE).read_bytes())
    (function,) = spec.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return list(block.operations)


def test_no_constant_is_there_twice(ct: Any, exported: Callable[..., Exported]) -> None:
    found = Counter(
        op.attributes["val"].SerializeToString(deterministic=True)
        for op in operations(ct, exported("coreml", "fp16").path)
        if op.type == "const" and op.attributes["val"].WhichOneof("value") == "immediateValue"
    )
    assert max(found.values()) == 1


def test_weights_have_short_names_of_the_references_modules(
    ct: Any, exported: Callable[..., Exported]
) -> None:
    names = {op.outputs[0].name for op in operations(ct, exported("coreml", "fp16").path)}
    assert "layer_2_fusion_weight" in names
    assert "layer_2_transformer_0_attention_query_weight" in names
    assert "classifier_weight" in names
    assert not [name for name in names if "inner" in name]


def test_names_of_operations_are_those_of_their_results(ct: Any, exported: Callable[..., Exported]) -> None:
    for op in operations(ct, exported("coreml", "fp16").path):
        if op.type in {"const", "conv", "linear"}:
            assert op.attributes["name"].immediateValue.tensor.strings.values == [op.outputs[0].name]


def test_results_are_the_same_to_the_last_bit(
    small_net: type[nn.Module],
    export_small: Callable[..., Artifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.random.default_rng(0).random((1, 3, 10, 14), np.float32)
    results = []
    for folder, change in (("compact", None), ("plain", lambda _: None)):
        (tmp_path / folder).mkdir()
        if change:
            monkeypatch.setattr(export, "compact", change)
        artifact = export_small(small_net(nn.SiLU()), tmp_path / folder, Precision.FP16)
        function = read_package(artifact.path).function
        results.append(MilInterpreter(function).run({"pixel_values": pixels})["logits"])
    assert np.array_equal(*results)
    sizes = [
        (tmp_path / folder / "small.mlpackage" / MODEL_FILE).stat().st_size for folder in ("compact", "plain")
    ]
    assert sizes[0] < sizes[1]
