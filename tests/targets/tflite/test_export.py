from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import card
from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target

ODD = (95, 130)
"""Height and width that no stage's patches tile: every MobileViT block resizes its map."""


@pytest.fixture(scope="session")
def path(exported: Callable[[str], Exported]) -> Path:
    return exported("tflite").path


@pytest.fixture(scope="session")
def model(path: Path) -> Any:
    return read(path)


@pytest.fixture(scope="session")
def odd(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(reference.resized(ODD), target="tflite", output=tmp_path_factory.mktemp("odd"))


@pytest.fixture
def spec() -> GraphSpec:
    return GraphSpec(
        input=TensorSpec(name="pixel_values", shape=(1, 3, 8, 8), dtype="float32", layout="NCHW"),
        output=TensorSpec(name="logits", shape=(1, 2), dtype="float32", layout="NC"),
        card=card(
            PreprocessSpec(resample="bilinear", crop=(8, 8), rescale_factor=1 / 255, channel_order="RGB"),
            ("a", "b"),
        ),
    )


def read(path: Path) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model(path)


def operators(model: Any) -> list[str]:
    """Names of the built-in operators in the order of execution; a custom one has its own name."""
    from ai_edge_litert.tools import flatbuffer_utils

    (graph,) = model.subgraphs
    return [flatbuffer_utils.opcode_to_name(model, node.opcodeIndex) for node in graph.operators]


def write(graph: nn.Module, spec: GraphSpec, out: Path) -> None:
    get_target("tflite").export(graph, spec, ExportOptions(Precision.FP32), out)


def tiny() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()).eval()


class TestFile:
    def test_has_one_signature_with_names_of_its_tensors(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        assert list(interpreter.get_signature_list().values()) == [
            {"inputs": ["pixel_values"], "outputs": ["logits"]}
        ]
        (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (given["name"], result["name"]) == ("pixel_values", "logits")

    def test_takes_pictures_as_cameras_give_them(
        self, model: Any, exported: Callable[[str], Exported], reference: Reference
    ) -> None:
        (spec,) = exported("tflite").manifest.inputs
        assert (spec.layout, spec.shape) == ("NHWC", (1, *reference.image_size, 3))
        (graph,) = model.subgraphs
        (first,) = [node for node in graph.operators if graph.inputs[0] in node.inputs]
        assert operators(model)[graph.operators.index(first)] in {"PAD", "CONV_2D"}  # no TRANSPOSE before

    def test_needs_no_operators_but_the_runtimes_own(self, model: Any) -> None:
        assert not any(code.customCode for code in model.operatorCodes)
        assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX"} <= set(
            operators(model)
        )

    def test_no_tensor_has_more_than_five_axes(self, model: Any) -> None:
        assert max(len(tensor.shape) for tensor in model.subgraphs[0].tensors) <= 5

    def test_runs_as_a_whole_in_one_delegate(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        nodes = [node["op_name"] for node in interpreter._get_ops_details()]
        assert nodes.count("DELEGATE") == 1

    def test_tells_nothing_of_the_machine_that_wrote_it(self, path: Path) -> None:
        content = path.read_bytes()
        assert not any(
            word in content for word in (b"site-packages", b"/lib/python", str(Path.cwd()).encode())
        )

    def test_tensors_are_called_by_the_modules_that_they_come_from(self, model: Any) -> None:
        names = {tensor.name for tensor in model.subgraphs[0].tensors}
        assert any(b"/transformer/0/attention/attention/query" in name for name in names)
        assert not any(b"torch." in name or b"mobilevit_deploy." in name for name in names)

    def test_is_hardly_larger_than_its_weights(self, path: Path, reference: Reference) -> None:
        weights = sum(4 * parameter.numel() for parameter in reference.model.parameters())
        assert path.stat().st_size < 1.05 * weights

    def test_runs_in_the_runtime_that_android_apps_use(
        self, path: Path, exported: Callable[[str], Exported]
    ) -> None:
        from ai_edge_litert.compiled_model import CompiledModel

        manifest = exported("tflite").manifest
        pixels = np.random.default_rng(0).random(manifest.inputs[0].shape, dtype=np.float32)
        compiled = CompiledModel.from_file(str(path))
        inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        inputs[0].write(pixels)
        compiled.run_by_index(0, inputs, outputs)
        logits = outputs[0].read(manifest.outputs[0].shape[1], np.float32)

        session = get_target("tflite").open_session(manifest.artifact(path.parent))
        assert np.allclose(logits, session.run(pixels)[0][0], atol=1e-5)


class TestOddSize:
    def test_equals_the_reference(self, odd: Exported) -> None:
        assert odd.manifest.parity.verdict == "pass", odd.manifest.parity.reasons
        assert odd.manifest.inputs[0].shape == (1, *ODD, 3)

    def test_resizes_around_every_transformer_by_half_pixel_centres(self, odd: Exported) -> None:
        model = read(odd.path)
        resizes = [
            node.builtinOptions
            for name, node in zip(operators(model), model.subgraphs[0].operators, strict=True)
            if name == "RESIZE_BILINEAR"
        ]
        assert len(resizes) == 2 * 3
        assert all(resize.halfPixelCenters and not resize.alignCorners for resize in resizes)


class TestWriting:
    def test_writes_the_same_bytes_again(self, spec: GraphSpec, tmp_path: Path) -> None:
        graph = tiny()
        write(graph, spec, tmp_path / "first.tflite")
        write(graph, spec, tmp_path / "second.tflite")
        assert (tmp_path / "first.tflite").read_bytes() == (tmp_path / "second.tflite").read_bytes()

    def test_shows_no_progress(
        self, spec: GraphSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(tiny(), spec, tmp_path / "tiny.tflite")
        assert capsys.readouterr() == ("", "")

    def test_graph_that_cannot_be_converted(self, spec: GraphSpec, tmp_path: Path) -> None:
        class Decomposition(nn.Module):
            def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
                values: torch.Tensor = torch.linalg.svdvals(pixel_values)
                return values

        with pytest.raises(ExportError, match=r"litert-torch could not convert the graph: .*svd"):
            write(Decomposition(), spec, tmp_path / "bad.tflite")
        assert not any(tmp_path.iterdir())

    def test_faults_of_the_disk_stay_what_they_are(self, spec: GraphSpec, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write(tiny(), spec, tmp_path / "missing" / "tiny.tflite")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
    def test_full_disk(self, spec: GraphSpec) -> None:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write(tiny(), spec, Path("/dev/full"))
