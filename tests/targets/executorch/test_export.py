from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, get_target

FP32 = ExportOptions(Precision.FP32)


XNNPACK = "XnnpackBackend"
CAST = "dim_order_ops::_to_dim_order_copy.out"
ARGMAX = "aten::argmax.out"

GRAPHS: dict[str, tuple[str, dict[str, object], list[str]]] = {
    "classes of a picture": ("exported", {}, [CAST, XNNPACK]),
    "classes of a tensor": ("exported", {"input": Input.TENSOR}, [XNNPACK]),
    "map of a picture": ("segmented", {}, [CAST, XNNPACK]),
    "mask of a picture": ("segmented", {"argmax": True}, [CAST, XNNPACK, ARGMAX, CAST]),
}


@pytest.fixture(scope="session", params=GRAPHS)
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of graph that the target writes, in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def graph(request: pytest.FixtureRequest, kind: str) -> Exported:
    exporter, options, _ = GRAPHS[kind]
    made: Exported = request.getfixturevalue(exporter)("executorch", **options)
    return made


class TestEveryGraph:
    def test_equals_the_reference(self, graph: Exported) -> None:
        assert graph.manifest.parity.verdict == "pass", graph.manifest.parity.reasons

    def test_xnnpack_takes_all_that_it_can_as_one(
        self, graph: Exported, kind: str, steps: Callable[[Path], list[str]]
    ) -> None:
        assert steps(graph.path) == GRAPHS[kind][2]

    def test_has_no_tensor_of_more_than_four_axes(
        self, graph: Exported, delegated: Callable[[Path], Any], program: Callable[[Path], Any]
    ) -> None:
        tensors = [value["xvalue_union"] for value in delegated(graph.path)["xvalues"]]
        assert max(len(tensor["dims"]) for tensor in tensors) == 4
        values = [value.val for value in program(graph.path).execution_plan[0].values]
        assert max(len(value.sizes) for value in values if hasattr(value, "sizes")) <= 4


def test_xnnpack_takes_all_also_where_patches_do_not_tile_the_maps(
    reference: Reference, steps: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    made = export(reference.resized((70, 90)), target="executorch", input=Input.TENSOR, output=tmp_path)
    assert made.manifest.parity.passed, made.manifest.parity.reasons
    assert steps(made.path) == [XNNPACK]


class TestFile:
    def test_holds_each_weight_once_and_little_else(
        self, exported: Callable[..., Exported], reference: Reference
    ) -> None:
        weights = sum(4 * parameter.numel() for parameter in reference.model.parameters())
        assert 0.98 * weights < exported("executorch").manifest.bytes < 1.03 * weights

    def test_tells_nothing_about_the_machine_it_was_made_on(self, exported: Callable[..., Exported]) -> None:
        content = exported("executorch").path.read_bytes()
        assert str(Path.home()).encode() not in content
        assert b"site-packages" not in content

    def test_is_the_same_every_time(
        self, small_graph: nn.Module, small_spec: GraphSpec, small_artifact: Artifact, tmp_path: Path
    ) -> None:
        again = get_target("executorch").export(small_graph, small_spec, FP32, tmp_path / "again.pte")
        assert again.path.read_bytes() == small_artifact.path.read_bytes()


class TestFailure:
    def test_graph_that_cannot_be_exported_names_the_cause(
        self, small_spec: GraphSpec, tmp_path: Path
    ) -> None:
        class Branching(nn.Module):
            def forward(self, pixel_values: Tensor) -> Tensor:
                return pixel_values if pixel_values.sum() > 0 else -pixel_values

        with pytest.raises(ExportError, match=r"ExecuTorch could not lower the graph: .*data-dependent"):
            get_target("executorch").export(Branching(), small_spec, FP32, tmp_path / "no.pte")
        assert not any(tmp_path.iterdir())

    def test_graph_that_cannot_be_lowered_names_the_operator(
        self, small_spec: GraphSpec, tmp_path: Path
    ) -> None:
        class Exotic(nn.Module):
            def forward(self, pixel_values: Tensor) -> Tensor:
                return pixel_values.logdet()

        with pytest.raises(ExportError, match=r"ExecuTorch could not lower the graph: .*linalg"):
            get_target("executorch").export(Exotic(), small_spec, FP32, tmp_path / "no.pte")
        assert not any(tmp_path.iterdir())

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
    def test_full_disk_is_an_os_error(self, small_graph: nn.Module, small_spec: GraphSpec) -> None:
        with pytest.raises(OSError, match="No space left on device"):
            get_target("executorch").export(small_graph, small_spec, FP32, Path("/dev/full"))


def test_nothing_is_printed_by_export_session_and_description(small_spec: GraphSpec, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import numpy as np, torch
from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.description import Card
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

image = TensorSpec(name="pixel_values", shape=(1, 3, 4, 4), dtype="float32", layout="NCHW")
logits = TensorSpec(name="logits", shape=(1, 48), dtype="float32", layout="NC")
card = Card.model_validate_json(sys.argv[2])
target, spec = get_target("executorch"), GraphSpec(image, logits, card)
graph = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Flatten())
artifact = target.export(graph, spec, ExportOptions(Precision.FP32), Path(sys.argv[1]))
for threads in (1, 2):
    session = target.open_session(artifact, threads=threads)
    session.run(np.zeros(image.shape, np.float32))
    session.close()
assert target.describe(artifact.path).card == card
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "small.pte"), small_spec.card.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
