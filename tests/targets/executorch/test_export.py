from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

FP32 = ExportOptions(Precision.FP32)


class TestDelegation:
    def test_xnnpack_takes_the_whole_graph_as_one(self, exported: Callable[..., Exported]) -> None:
        assert _instructions(exported("executorch").path) == ["DelegateCall"]

    def test_and_also_where_patches_do_not_tile_the_maps(self, reference: Reference, tmp_path: Path) -> None:
        made = export(reference.resized((70, 90)), target="executorch", output=tmp_path)
        assert made.manifest.parity.passed, made.manifest.parity.reasons
        assert _instructions(made.path) == ["DelegateCall"]


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


def test_nothing_is_printed_by_export_and_session(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import numpy as np, torch
from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

image = TensorSpec(name="pixel_values", shape=(1, 3, 4, 4), dtype="float32", layout="NCHW")
logits = TensorSpec(name="logits", shape=(1, 48), dtype="float32", layout="NC")
target, spec = get_target("executorch"), GraphSpec(image, logits, None, ())
graph = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Flatten())
artifact = target.export(graph, spec, ExportOptions(Precision.FP32), Path(sys.argv[1]))
for threads in (1, 2):
    session = target.open_session(artifact, threads=threads)
    session.run(np.zeros(image.shape, np.float32))
    session.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "small.pte")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _instructions(pte: Path) -> list[str]:
    """Kinds of the instructions in the file: KernelCall for each operator that no delegate took."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(pte.read_bytes()).program.execution_plan
    return [type(step.instr_args).__name__ for chain in plan.chains for step in chain.instructions]
