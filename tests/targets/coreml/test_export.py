"""What lies on disk after an export, and what happens when there can be none."""

from __future__ import annotations

import contextlib
import resource
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mobilevit_deploy.targets.coreml.package import read_package
from torch import nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import ExportError, OutputError
from mobilevit_deploy.model.graph import PictureGraph
from mobilevit_deploy.output import staging
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import GraphSpec

IOS_16 = 7
"""The specification version that iOS 16 introduced."""


NEURAL_ENGINE = "coremltools-neural-engine"

OPERATIONS = {
    "add",
    "cast",
    "classify",
    "concat",
    "constexpr_affine_dequantize",
    "conv",
    "dequantize",
    "einsum",
    "layer_norm",
    "linear",
    "matmul",
    "mul",
    "pixel_shuffle",
    "pixel_unshuffle",
    "quantize",
    "reduce_argmax",
    "reduce_mean",
    "relu",
    "reshape",
    "silu",
    "softmax",
    "split",
    "transpose",
    "upsample_bilinear",
}
"""All that exported graphs may consist of: operations of Core ML's own since iOS 15, 16 or, in int8, 17."""

GRAPHS: dict[str, Callable[..., Exported]] = {
    "classification of a picture": lambda exported, _: exported("coreml", "fp32"),
    "classification of a tensor, fp16": lambda exported, _: exported("coreml", "fp16", input="tensor"),
    "segmentation of a picture": lambda _, segmented: segmented("coreml", "fp32"),
    "mask of a picture": lambda _, segmented: segmented("coreml", "fp32", argmax=True),
    "mask of a picture, fp16": lambda _, segmented: segmented("coreml", "fp16", argmax=True),
    "segmentation of a tensor, fp16": lambda _, segmented: segmented("coreml", "fp16", input="tensor"),
    "for the Neural Engine": lambda exported, _: exported("coreml", "fp16", converter=NEURAL_ENGINE),
    "for the Neural Engine, int8": lambda exported, _: exported("coreml", "int8", converter=NEURAL_ENGINE),
    "for the Neural Engine, mask": lambda _, segmented: segmented(
        "coreml", "fp16", argmax=True, converter=NEURAL_ENGINE
    ),
}


def tensors(package: Path) -> list[Any]:
    """Every value of the program that is a tensor, constants too."""
    from coremltools.converters.mil.mil import types

    values = [out for op in read_package(package).function.operations for out in op.outputs]
    return [var for var in values if types.is_tensor(var.sym_type)]


def float_types(package: Path) -> set[str]:
    from coremltools.converters.mil.mil import types

    return {types.builtin_to_string(var.dtype) for var in tensors(package)} & {"fp16", "fp32"}


class TestEveryGraph:
    """What phones run: few kinds of operations, and no more than four axes."""

    @pytest.fixture(params=GRAPHS.values(), ids=GRAPHS.keys())
    def made(
        self,
        request: pytest.FixtureRequest,
        exported: Callable[..., Exported],
        segmented: Callable[..., Exported],
    ) -> Exported:
        result: Exported = request.param(exported, segmented)
        return result

    def test_equals_the_reference(self, made: Exported) -> None:
        assert made.manifest.parity.passed, made.manifest.parity.reasons

    def test_no_tensor_has_more_than_four_axes(self, made: Exported) -> None:
        assert {var.name for var in tensors(made.path) if len(var.shape) > 4} == set()

    def test_operations_are_core_mls_own(self, made: Exported) -> None:
        kinds = {op.op_type for op in read_package(made.path).function.operations}
        assert kinds - {"const"} <= OPERATIONS

    def test_no_name_stands_for_two_values(self, made: Exported) -> None:
        function = read_package(made.path).function
        computed = [op for op in function.operations if op.op_type != "const"]
        names = [*function.inputs, *(out.name for op in computed for out in op.outputs)]
        assert len(names) == len(set(names))


class TestNeuralEngine:
    """What the converter of that name is for: Apple's principles, counted."""

    def test_only_the_classifier_is_a_linear_layer(self, exported: Callable[..., Exported]) -> None:
        kinds = kinds_of(exported("coreml", "fp16", converter=NEURAL_ENGINE))
        assert kinds["linear"] == 1
        assert kinds["conv"] > kinds_of(exported("coreml", "fp16"))["conv"] + 50

    def test_few_copies_are_left(self, exported: Callable[..., Exported]) -> None:
        copies = [
            kinds["transpose"] + kinds["reshape"]
            for kinds in (
                kinds_of(exported("coreml", "fp16")),
                kinds_of(exported("coreml", "fp16", converter=NEURAL_ENGINE)),
            )
        ]
        assert copies == [96, 15]


def kinds_of(made: Exported) -> Counter[str]:
    return Counter(op.op_type for op in read_package(made.path).function.operations)


class TestWholeModel:
    def test_fp32_holds_no_float16(self, exported: Callable[..., Exported]) -> None:
        assert float_types(exported("coreml", "fp32").path) == {"fp32"}

    def test_fp16_computes_in_float16_and_gives_float32(self, exported: Callable[..., Exported]) -> None:
        from coremltools.converters.mil.mil import types

        function = read_package(exported("coreml", "fp16").path).function
        wide = {var.name for var in tensors(exported("coreml", "fp16").path) if var.dtype == types.fp32}
        assert wide == {"logits", "probabilities"}
        assert all(var.dtype == types.fp32 for var in function.inputs.values())

    def test_fp16_is_half_the_size(self, exported: Callable[..., Exported]) -> None:
        halves = exported("coreml", "fp16").manifest.bytes / exported("coreml", "fp32").manifest.bytes
        assert halves == pytest.approx(0.5, abs=0.05)

    def test_nothing_that_only_training_needs_is_left(self, exported: Callable[..., Exported]) -> None:
        kinds = {op.op_type for op in read_package(exported("coreml").path).function.operations}
        assert not kinds & {"batch_norm", "dropout"}

    def test_runs_on_ios_16(self, exported: Callable[..., Exported]) -> None:
        assert read_package(exported("coreml").path).specification_version == IOS_16


class TestPicture:
    """What Core ML takes as an image."""

    def test_app_hands_over_a_pixel_buffer(self, picture_artifact: Artifact) -> None:
        (feature,) = read_package(picture_artifact.path).description.input
        assert feature.type.WhichOneof("Type") == "imageType"
        image = feature.type.imageType
        assert (image.width, image.height, image.colorSpace) == (14, 10, image.RGB)

    def test_module_that_is_exported_stays_as_it_was(
        self,
        small_net: type[nn.Module],
        picture_spec: GraphSpec,
        export_small: Callable[..., Artifact],
        tmp_path: Path,
    ) -> None:
        graph = PictureGraph(small_net(nn.ReLU()))
        before = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
        export_small(graph, tmp_path, spec=picture_spec)
        assert all(torch.equal(before[name], tensor) for name, tensor in graph.state_dict().items())

    def test_no_weight_of_the_stem_is_subnormal_in_float16(self, exported: Callable[..., Exported]) -> None:
        """Levels of 0..255 ask for weights of 1/255, of which float16 holds a part as subnormal numbers."""
        function = read_package(exported("coreml", "fp16").path).function
        stem = next(op for op in function.operations if op.op_type == "conv").weight.val
        smallest = np.abs(stem[stem != 0]).min()
        assert stem.dtype == np.float16
        assert smallest > np.finfo(np.float16).tiny


class TestFolder:
    def test_package_and_nothing_else(
        self, small_net: type[nn.Module], export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        before = set(Path(tempfile.gettempdir()).glob("*.mlpackage"))
        artifact = export_small(small_net(nn.SiLU()), tmp_path)
        files = {str(file.relative_to(artifact.path)) for file in artifact.path.rglob("*") if file.is_file()}
        assert files == {
            "Manifest.json",
            "Data/com.apple.CoreML/model.mlmodel",
            "Data/com.apple.CoreML/weights/weight.bin",
        }
        assert list(tmp_path.iterdir()) == [artifact.path]
        assert set(Path(tempfile.gettempdir()).glob("*.mlpackage")) == before

    def test_files_are_readable_by_whom_the_umask_says(
        self, small_net: type[nn.Module], export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        (tmp_path / "any").touch()
        artifact = export_small(small_net(nn.SiLU()), tmp_path)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in artifact.path.rglob("*") if file.is_file()}
        assert modes == {stat.S_IMODE((tmp_path / "any").stat().st_mode)}

    def test_names_are_the_specs_whatever_the_module_calls_its_input(
        self, small_net: type[nn.Module], export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        artifact = export_small(small_net(nn.SiLU()), tmp_path, Precision.FP16)
        function = read_package(artifact.path).function
        assert list(function.inputs) == [artifact.inputs[0].name]
        assert [out.name for out in function.outputs] == ["classLabel", "classLabel_probs", "logits"]

    def test_nothing_is_printed(
        self,
        small_net: type[nn.Module],
        export_small: Callable[..., Artifact],
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        export_small(small_net(nn.SiLU()), tmp_path)
        assert capfd.readouterr() == ("", "")


class Determinant(nn.Module):
    """An operation that Core ML does not have."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """[1, 3, h, w] -> [1, 3]."""
        return torch.linalg.det(picture[..., :10, :10])


class DataDependent(nn.Module):
    """A branch that torch.export cannot follow."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """[1, 3, h, w] -> itself."""
        return picture if picture.sum() > 0 else -picture


class TestRefusal:
    def test_operation_that_core_ml_lacks(
        self, export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        with pytest.raises(ExportError, match="det"):
            export_small(Determinant(), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_graph_that_torch_cannot_export(
        self, export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        with pytest.raises(ExportError, match="could not convert the graph") as caught:
            export_small(DataDependent(), tmp_path)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_disk_that_takes_no_more_is_not_the_converters_fault(
        self, small_net: type[nn.Module], export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        # coremltools' native code says it in words of its own; where exports are staged, the disk is asked.
        with no_file_larger_than(20_000), pytest.raises(OutputError, match="Cannot write"), staging(tmp_path):
            export_small(small_net(nn.SiLU(), width=2000), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_temporary_files_go_where_they_went_before(
        self, export_small: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        before = tempfile.gettempdir()
        with pytest.raises(ExportError):
            export_small(Determinant(), tmp_path)
        assert tempfile.gettempdir() == before


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Writing more than ``size`` bytes to a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
