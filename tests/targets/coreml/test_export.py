"""What lies on disk after an export, and what happens when there can be none."""

from __future__ import annotations

import contextlib
import resource
import stat
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from mobilevit_deploy.targets.coreml.package import MODEL_FILE, read_function
from torch import nn

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision

IOS_16 = 7
"""The specification version that iOS 16 introduced."""


def spec_of(ct: Any, package: Path) -> Any:
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString((package / MODEL_FILE).read_bytes())
    return spec


def float_types(package: Path) -> set[str]:
    """The floating point types of every value in the program, constants too."""
    from coremltools.converters.mil.mil import types

    declared = (out for op in read_function(package).operations for out in op.outputs)
    return {types.builtin_to_string(var.dtype) for var in declared} & {"fp16", "fp32"}


class TestWholeModel:
    def test_fp32_holds_no_float16(self, exported: Callable[..., Exported]) -> None:
        assert float_types(exported("coreml", "fp32").path) == {"fp32"}

    def test_fp16_computes_in_float16_and_gives_float32(self, exported: Callable[..., Exported]) -> None:
        from coremltools.converters.mil.mil import types

        function = read_function(exported("coreml", "fp16").path)
        wide = [
            op.op_type
            for op in function.operations
            if op.op_type != "const" and op.outputs[0].dtype == types.fp32
        ]
        assert wide == ["cast"]
        assert all(var.dtype == types.fp32 for var in (*function.inputs.values(), *function.outputs))

    def test_fp16_is_half_the_size(self, exported: Callable[..., Exported]) -> None:
        halves = exported("coreml", "fp16").manifest.bytes / exported("coreml", "fp32").manifest.bytes
        assert halves == pytest.approx(0.5, abs=0.05)

    def test_nothing_that_only_training_needs_is_left(self, exported: Callable[..., Exported]) -> None:
        kinds = {op.op_type for op in read_function(exported("coreml").path).operations}
        assert not kinds & {"batch_norm", "dropout"}

    def test_runs_on_ios_16(self, ct: Any, exported: Callable[..., Exported]) -> None:
        assert spec_of(ct, exported("coreml").path).specificationVersion == IOS_16

    def test_xcode_is_told_what_the_model_takes(self, ct: Any, exported: Callable[..., Exported]) -> None:
        made = exported("coreml")
        description = spec_of(ct, made.path).description
        assert description.metadata.shortDescription == (
            f"MobileViT, {len(made.manifest.labels)} classes, input 96x96 pixels"
        )
        assert description.metadata.versionString == version("mobilevit-deploy")
        assert description.input[0].shortDescription == (
            "NCHW, channels in BGR order, 8-bit levels times 0.00392157"
        )

    def test_no_licence_is_invented(self, ct: Any, exported: Callable[..., Exported]) -> None:
        assert spec_of(ct, exported("coreml").path).description.metadata.license == ""


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
        function = read_function(artifact.path)
        assert list(function.inputs) == [artifact.inputs[0].name]
        assert [out.name for out in function.outputs] == [artifact.outputs[0].name]

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
        with no_file_larger_than(20_000), pytest.raises(OSError, match="disk"):
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
