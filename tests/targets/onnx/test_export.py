from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, get_target

ODD = (95, 130)
"""Height and width that no stage's patches tile: every MobileViT block resizes its map."""


@pytest.fixture(scope="session")
def path(exported: Callable[[str], Exported]) -> Path:
    return exported("onnx").path


@pytest.fixture(scope="session")
def model(path: Path) -> onnx.ModelProto:
    return onnx.load(path, load_external_data=False)


@pytest.fixture(scope="session")
def odd(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(reference.resized(ODD), target="onnx", output=tmp_path_factory.mktemp("odd"))


GRAPHS = {
    "classes of a picture": ("exported", {}),
    "classes of a tensor": ("exported", {"input": Input.TENSOR}),
    "map of a picture": ("segmented", {}),
    "map of a tensor": ("segmented", {"input": Input.TENSOR}),
    "mask of a picture": ("segmented", {"argmax": True}),
    # What the contract makes too: every lower precision.
    **{
        f"classes in {precision}": ("exported", {"precision": str(precision)})
        for precision in get_target("onnx").precisions
        if precision != Precision.FP32
    },
}


@pytest.fixture(scope="session", params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> Exported:
    """Every kind of graph that the target writes, in turn."""
    exporter, options = GRAPHS[request.param]
    made: Exported = request.getfixturevalue(exporter)("onnx", **options)
    return made


def write(graph: nn.Module, spec: GraphSpec, out: Path) -> None:
    get_target("onnx").export(graph, spec, ExportOptions(Precision.FP32), out)


class TestEveryGraph:
    def test_equals_the_reference(self, graph: Exported) -> None:
        assert graph.manifest.parity.verdict == "pass", graph.manifest.parity.reasons

    def test_passes_the_full_check(self, graph: Exported) -> None:
        onnx.checker.check_model(graph.path, full_check=True)

    def test_has_only_operators_of_onnx_itself(self, graph: Exported) -> None:
        model = onnx.load(graph.path)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions

    def test_has_no_tensor_of_more_than_four_axes(self, graph: Exported) -> None:
        ranks = tensor_ranks(onnx.load(graph.path))
        assert max(ranks.values()) == 4, {name: rank for name, rank in ranks.items() if rank > 4}

    def test_has_the_inputs_and_outputs_that_it_declares(self, graph: Exported) -> None:
        model, manifest = onnx.load(graph.path), graph.manifest
        for declared, found in ((manifest.inputs, model.graph.input), (manifest.outputs, model.graph.output)):
            assert [(spec.name, spec.shape, spec.dtype) for spec in declared] == [
                (value.name, shape(value), dtype(value)) for value in found
            ]


def tensor_ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Number of axes of every tensor in a model, by name."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    ranks = {value.name: len(shape(value)) for value in values}
    ranks |= {weight.name: len(weight.dims) for weight in inferred.initializer}
    made = {name for node in inferred.node for name in node.output if name}
    assert made <= set(ranks), f"of unknown shape: {made - set(ranks)}"
    return ranks


def shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def dtype(value: onnx.ValueInfoProto) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


class TestFile:
    def test_stands_alone(self, model: onnx.ModelProto) -> None:
        assert all(weight.data_location == onnx.TensorProto.DEFAULT for weight in model.graph.initializer)

    def test_leaves_layer_norm_whole_and_batch_norm_out(
        self, model: onnx.ModelProto, reference: Reference
    ) -> None:
        count = Counter(node.op_type for node in model.graph.node)
        norms = sum(isinstance(module, nn.LayerNorm) for module in reference.model.modules())
        assert count["LayerNormalization"] == norms
        assert "BatchNormalization" not in count

    def test_tells_nothing_of_the_machine_that_wrote_it(self, path: Path, model: onnx.ModelProto) -> None:
        content = path.read_bytes()
        assert not any(
            word in content for word in (b"site-packages", b"/lib/python", str(Path.cwd()).encode())
        )
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)

    def test_is_hardly_larger_than_its_weights(self, path: Path, reference: Reference) -> None:
        weights = sum(4 * parameter.numel() for parameter in reference.model.parameters())
        assert path.stat().st_size < 1.05 * weights


class TestOddSize:
    def test_equals_the_reference(self, odd: Exported) -> None:
        assert odd.manifest.parity.verdict == "pass", odd.manifest.parity.reasons
        assert odd.manifest.inputs[0].shape == (1, *ODD, 3)

    def test_resizes_around_every_transformer(self, odd: Exported) -> None:
        resizes = [node for node in onnx.load(odd.path).graph.node if node.op_type == "Resize"]
        assert len(resizes) == 2 * 3


class TestWriting:
    def test_says_nothing(
        self,
        small_graph: nn.Module,
        small_spec: GraphSpec,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        write(small_graph, small_spec, tmp_path / "tiny.onnx")
        assert capfd.readouterr() == ("", "")

    def test_writes_the_same_bytes_again(
        self, small_graph: nn.Module, small_spec: GraphSpec, small_artifact: Artifact, tmp_path: Path
    ) -> None:
        write(small_graph, small_spec, tmp_path / "second.onnx")
        assert small_artifact.path.read_bytes() == (tmp_path / "second.onnx").read_bytes()

    def test_graph_that_cannot_be_converted(self, small_spec: GraphSpec, tmp_path: Path) -> None:
        class Decomposition(nn.Module):
            def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
                values: torch.Tensor = torch.linalg.svdvals(pixel_values)
                return values

        with pytest.raises(ExportError, match=r"torch\.onnx could not convert the graph: .*svd"):
            write(Decomposition(), small_spec, tmp_path / "bad.onnx")
        assert not any(tmp_path.iterdir())

    def test_faults_of_the_disk_stay_what_they_are(
        self, small_graph: nn.Module, small_spec: GraphSpec, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            write(small_graph, small_spec, tmp_path / "missing" / "tiny.onnx")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
    def test_full_disk(self, small_graph: nn.Module, small_spec: GraphSpec) -> None:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write(small_graph, small_spec, Path("/dev/full"))
