"""What XNNPACK takes of a .pte file, on graphs of a few operators."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.inspection import Inspection
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

Lowered = Callable[[nn.Module], Path]


def inspected(path: Path) -> Inspection:
    return get_target("executorch").inspect(path)


@pytest.fixture
def lowered(small_spec: GraphSpec, tmp_path: Path) -> Lowered:
    """The file of a module that takes [1, 3, 4, 4]."""

    def lower(module: nn.Module) -> Path:
        out = tmp_path / "small.pte"
        get_target("executorch").export(module.eval(), small_spec, ExportOptions(Precision.FP32), out)
        return out

    return lower


class TestCounts:
    def test_of_what_the_delegate_holds(self, small_artifact: Artifact) -> None:
        found = inspected(small_artifact.path)
        assert found.multiply_adds == 8 * 2 * 2 * 3 * 9 + 32 * 2
        assert found.parameters == 8 * 3 * 9 + 8 + 32 * 2 + 2
        assert {"Conv2d", "Sigmoid", "Multiply", "FullyConnected"} <= set(found.operators)
        assert found.delegations[0].full
        assert found.delegations[0].partitions == 1

    def test_of_grouped_and_transposed_convolutions(self, lowered: Lowered) -> None:
        found = inspected(
            lowered(nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.ConvTranspose2d(6, 2, 2, 2)))
        )
        assert found.multiply_adds == 16 * 6 * 9 + 16 * 6 * 2 * 4

    def test_of_what_stays_outside(self, lowered: Lowered) -> None:
        class Deep(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv3d(1, 2, 3)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                deep: torch.Tensor = self.conv(x[:, None])
                return deep

        found = inspected(lowered(Deep()))
        assert found.multiply_adds == 2 * 4 * 27
        assert found.parameters == 2 * 27 + 2
        assert "aten::convolution.out" in found.operators


class TestDelegation:
    def test_layer_norm_stays_outside_and_splits_the_rest(self, lowered: Lowered) -> None:
        found = inspected(lowered(nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(4), nn.Conv2d(4, 2, 1))))
        (xnnpack,) = found.delegations
        assert (xnnpack.total - xnnpack.taken, xnnpack.partitions) == (1, 2)
        (finding,) = xnnpack.findings
        assert finding.operators[0].kind == "aten::native_layer_norm.out"
        assert finding.operators[0].tensors.startswith("float32[1, 4, 4, 4]")
        assert "has an entry" in finding.rule
        assert "LayerNorm" in finding.remedy

    def test_integers_stay_outside(self, lowered: Lowered) -> None:
        class Counting(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.relu(x).to(torch.int32) + 1

        (xnnpack,) = inspected(lowered(Counting())).delegations
        assert xnnpack.partitions == 1
        kinds = {operator.kind for finding in xnnpack.findings for operator in finding.operators}
        assert "aten::add.out" in kinds
        assert any(finding.rule.startswith("Tensors are float") for finding in xnnpack.findings)


def test_needs_neither_torch_nor_the_runtime(small_artifact: Artifact) -> None:
    script = (
        "import sys; from pathlib import Path; from mobilevit_deploy.target import get_target\n"
        "assert get_target('executorch').inspect(Path(sys.argv[1])).operators\n"
        "assert not {'torch', 'executorch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(small_artifact.path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_damage_is_one_error_or_none(small_artifact: Artifact, tmp_path: Path) -> None:
    content = small_artifact.path.read_bytes()
    path = tmp_path / "damaged.pte"
    dice = random.Random(0)
    problems = []
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(8):
            damaged[dice.randrange(8, len(content))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            inspected(path)
        except ArtifactError as error:
            problems.append(error.problem)
    assert problems
    assert all(str(path) in problem for problem in problems)
