"""A graph so small that ExecuTorch lowers it in a second, for tests that are not about MobileViT."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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


@pytest.fixture(scope="session")
def program() -> Callable[[Path], Any]:
    """Reads a file's program, as ExecuTorch's schema has it."""
    return _read_program


@pytest.fixture(scope="session")
def steps() -> Callable[[Path], list[str]]:
    """Reads what a file's ``forward`` calls, in order: names of operators, and of backends."""
    return _read_steps


@pytest.fixture(scope="session")
def delegated() -> Callable[[Path], Any]:
    """Reads the graph inside of a file's one delegate, as XNNPACK's schema has it."""
    return _read_delegated


def _read_program(pte: Path) -> Any:
    from executorch.exir._serialize._program import deserialize_pte_binary

    return deserialize_pte_binary(pte.read_bytes()).program


def _read_steps(pte: Path) -> list[str]:
    plan = _read_program(pte).execution_plan[0]
    assert plan.name == "forward"
    steps = []
    for call in (instruction.instr_args for chain in plan.chains for instruction in chain.instructions):
        if type(call).__name__ == "DelegateCall":
            steps.append(plan.delegates[call.delegate_index].id)
        else:
            operator = plan.operators[call.op_index]
            steps.append(f"{operator.name}.{operator.overload}")
    return steps


def _read_delegated(pte: Path) -> Any:
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as xnnpack
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    (delegate,) = _read_program(pte).backend_delegate_data
    header = xnnpack.XNNHeader.from_bytes(bytes(delegate.data[: xnnpack.XNNHeader.EXPECTED_LENGTH]))
    end = header.flatbuffer_offset + header.flatbuffer_size
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "schema.fbs").write_bytes(xnnpack._get_schema_bytes())
        (folder / "graph.bin").write_bytes(bytes(delegate.data[header.flatbuffer_offset : end]))
        _flatc_decompile(name, str(folder / "schema.fbs"), str(folder / "graph.bin"), ["--raw-binary"])
        text = (folder / "graph.json").read_text()
    return json.loads(text.replace(": inf", ": Infinity"))  # a ReLU's upper bound
