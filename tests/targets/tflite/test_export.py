from __future__ import annotations

import copy
import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, get_target

ODD = (95, 130)
"""Height and width that no stage's patches tile: every MobileViT block resizes its map."""


@pytest.fixture(scope="session")
def path(exported: Callable[..., Exported]) -> Path:
    return exported("tflite", converter="litert-torch").path


@pytest.fixture(scope="session")
def model(path: Path) -> Any:
    return read(path)


GRAPHS = {
    "litert-torch, classes of a picture": ("exported", {"converter": "litert-torch"}),
    "litert-torch, classes of a tensor": ("exported", {"converter": "litert-torch", "input": Input.TENSOR}),
    "litert-torch, map of a picture": ("segmented", {"converter": "litert-torch"}),
    "litert-torch, mask of a picture": ("segmented", {"converter": "litert-torch", "argmax": True}),
    "litert-torch, 8 bits": ("exported", {"converter": "litert-torch", "precision": "int8-dynamic"}),
    "litert-torch, 16 bits": ("exported", {"converter": "litert-torch", "precision": "fp16"}),
    "litert-torch, computing in 8 bits": ("exported", {"converter": "litert-torch", "precision": "int8"}),
    "litert-torch, map in 8 bits": ("segmented", {"converter": "litert-torch", "precision": "int8-dynamic"}),
    "keras, classes of a picture": ("exported", {"converter": "keras"}),
    "keras, map of a tensor": ("segmented", {"converter": "keras", "input": Input.TENSOR}),
    "keras, mask of a picture": ("segmented", {"converter": "keras", "argmax": True}),
    "keras, 8 bits": ("exported", {"converter": "keras", "precision": "int8-dynamic"}),
    "keras, mask in 8 bits": (
        "segmented",
        {"converter": "keras", "precision": "int8-dynamic", "argmax": True},
    ),
    # This converter may fall back to TensorFlow's operators: that is what it is for. It needs none of them.
    "keras-select-tf-ops": ("exported", {"converter": "keras-select-tf-ops"}),
    "keras-select-tf-ops, mask": ("segmented", {"converter": "keras-select-tf-ops", "argmax": True}),
}


@pytest.fixture(scope="session", params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> Exported:
    """Every kind of graph that the target writes, in turn."""
    exporter, options = GRAPHS[request.param]
    if options["converter"] != "litert-torch":
        pytest.importorskip("tensorflow")
    made: Exported = request.getfixturevalue(exporter)("tflite", **options)
    return made


@pytest.fixture(scope="session")
def odd(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(
        reference.resized(ODD),
        target="tflite",
        converter="litert-torch",
        output=tmp_path_factory.mktemp("odd"),
    )


def read(path: Path) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))


def small_graph() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()).eval()


def operators(model: Any) -> list[str]:
    """Names of the built-in operators in the order of execution; a custom one has its own name."""
    (graph,) = model.subgraphs
    return [operator_name(model, node.opcodeIndex) for node in graph.operators]


def operator_name(model: Any, number: int) -> str:
    from ai_edge_litert.tools import flatbuffer_utils

    return str(flatbuffer_utils.opcode_to_name(model, number))


def write(graph: nn.Module, spec: GraphSpec, out: Path) -> None:
    get_target("tflite").export(graph, spec, ExportOptions(Precision.FP32, "litert-torch"), out)


class TestEveryGraph:
    def test_equals_the_reference(self, graph: Exported) -> None:
        assert graph.manifest.parity.verdict == "pass", graph.manifest.parity.reasons

    def test_has_the_inputs_and_outputs_that_it_declares(self, graph: Exported) -> None:
        found, manifest = get_target("tflite").describe(graph.path), graph.manifest
        assert (found.inputs, found.outputs) == (manifest.inputs, manifest.outputs)
        assert found.card is not None
        assert found.labels == manifest.labels == found.card.labels

    def test_takes_and_gives_channels_last(self, graph: Exported) -> None:
        model = read(graph.path)
        (subgraph,) = model.subgraphs
        (first,) = [node for node in subgraph.operators if subgraph.inputs[0] in node.inputs]
        assert operators(model)[subgraph.operators.index(first)] in {"CAST", "PAD", "CONV_2D"}
        assert graph.manifest.inputs[0].layout == "NHWC"
        assert graph.manifest.outputs[0].layout in {"NC", "NHWC", "NHW"}

    def test_has_no_tensor_of_more_than_four_axes(self, graph: Exported) -> None:
        (subgraph,) = read(graph.path).subgraphs
        shapes = {
            tensor.name: [] if tensor.shape is None else list(tensor.shape) for tensor in subgraph.tensors
        }
        assert not {name: shape for name, shape in shapes.items() if len(shape) > 4}

    def test_needs_no_operators_but_the_runtimes_own(self, graph: Exported) -> None:
        model = read(graph.path)
        assert not any(code.customCode for code in model.operatorCodes)
        assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX"} <= set(
            operators(model)
        )

    def test_folds_every_batch_norm_into_its_convolution(self, graph: Exported) -> None:
        counts = Counter(operators(read(graph.path)))
        assert counts["RSQRT"] == 21  # LayerNorms: two a layer, and one a transformer

    def test_has_one_signature_with_names_of_its_tensors(self, graph: Exported) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(graph.path))
        (given,), (wanted,) = graph.manifest.inputs, graph.manifest.outputs
        assert interpreter.get_signature_list() == {
            "serving_default": {"inputs": [given.name], "outputs": [wanted.name]}
        }

    def test_tells_nothing_of_the_machine_that_wrote_it(self, graph: Exported) -> None:
        content = graph.path.read_bytes()
        assert not any(
            word in content for word in (b"site-packages", b"/lib/python", str(Path.cwd()).encode())
        )


class TestEightBits:
    @pytest.mark.parametrize("converter", ["litert-torch", "keras"])
    def test_runtime_that_is_too_old_would_refuse_the_file(
        self, exported: Callable[..., Exported], converter: str
    ) -> None:
        """It would take a layer's first scale for all of its channels."""
        if converter == "keras":
            pytest.importorskip("tensorflow")
        model = read(exported("tflite", precision="int8-dynamic", converter=converter).path)
        versions = {
            operator_name(model, number): code.version for number, code in enumerate(model.operatorCodes)
        }
        assert versions["CONV_2D"] == 5
        assert versions["FULLY_CONNECTED"] == 12

    def test_floats_ask_for_no_new_runtime(self, model: Any) -> None:
        assert max(code.version for code in model.operatorCodes) <= 5

    @pytest.mark.parametrize("converter", ["litert-torch", "keras"])
    def test_thousand_classes_take_one_and_a_half_megabytes(
        self, reference: Reference, tmp_path: Path, converter: str
    ) -> None:
        if converter == "keras":
            pytest.importorskip("tensorflow")
        config = reference.model.config
        torch.manual_seed(2110)
        thousand = copy.deepcopy(reference.model)
        thousand.config = config.updated(num_labels=1000)
        thousand.classifier = nn.Linear(config.neck_hidden_sizes[-1], 1000)
        large = replace(reference, model=thousand)
        made = export(
            large,
            target="tflite",
            converter=converter,
            precision="int8-dynamic",
            gate=False,  # a head that decides nothing may decide otherwise: only the size counts here
            output=tmp_path,
        )
        assert made.path.stat().st_size <= 1_500_000
        assert made.manifest.parity.outputs[0].sqnr_db > 18


class TestFile:
    def test_runs_as_a_whole_in_one_delegate(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        nodes = [node["op_name"] for node in interpreter._get_ops_details()]
        assert nodes.count("DELEGATE") == 1

    def test_tensors_are_called_by_the_modules_that_they_come_from(self, model: Any) -> None:
        names = {tensor.name for tensor in model.subgraphs[0].tensors}
        assert any(b"attention/attention/query" in name for name in names)
        assert not any(b"torch." in name or b"mobilevit_deploy." in name for name in names)

    def test_is_hardly_larger_than_its_weights(self, path: Path, reference: Reference) -> None:
        weights = sum(4 * parameter.numel() for parameter in reference.model.parameters())
        assert path.stat().st_size < 1.05 * weights

    def test_runs_in_the_runtime_that_android_apps_use(
        self, path: Path, exported: Callable[..., Exported]
    ) -> None:
        from ai_edge_litert.compiled_model import CompiledModel

        manifest = exported("tflite", converter="litert-torch").manifest
        pixels = np.random.default_rng(0).integers(0, 256, manifest.inputs[0].shape, dtype=np.uint8)
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
    def test_writes_the_same_bytes_again(self, small_spec: GraphSpec, tmp_path: Path) -> None:
        graph = small_graph()
        write(graph, small_spec, tmp_path / "first.tflite")
        write(graph, small_spec, tmp_path / "second.tflite")
        assert (tmp_path / "first.tflite").read_bytes() == (tmp_path / "second.tflite").read_bytes()

    def test_shows_no_progress(
        self, small_spec: GraphSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(small_graph(), small_spec, tmp_path / "tiny.tflite")
        assert capsys.readouterr() == ("", "")

    def test_graph_that_cannot_be_converted(self, small_spec: GraphSpec, tmp_path: Path) -> None:
        class Decomposition(nn.Module):
            def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
                values: torch.Tensor = torch.linalg.svdvals(pixel_values)
                return values

        with pytest.raises(ExportError, match=r"litert-torch could not convert the graph: .*svd"):
            write(Decomposition(), small_spec, tmp_path / "bad.tflite")
        assert not any(tmp_path.iterdir())

    def test_faults_of_the_disk_stay_what_they_are(self, small_spec: GraphSpec, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write(small_graph(), small_spec, tmp_path / "missing" / "tiny.tflite")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
    def test_full_disk(self, small_spec: GraphSpec) -> None:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write(small_graph(), small_spec, Path("/dev/full"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic"])
def test_gpu_delegate_takes_all_but_the_conversion_of_the_picture(
    exported: Callable[..., Exported], precision: str
) -> None:
    made = exported("tflite", precision, converter="litert-torch-gpu")
    assert made.manifest.parity.passed, made.manifest.parity.reasons
    found = get_target("tflite").inspect(made.path)
    findings = found.only("tflite-gpu").delegations[0].findings
    assert [operator.kind for finding in findings for operator in finding.operators] == ["CAST"]


def test_converter_for_gpus_refuses_int8(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not write int8") as caught:
        export(
            reference,
            target="tflite",
            precision="int8",
            converter="litert-torch-gpu",
            gate=False,
            output=tmp_path,
        )
    assert "--precision fp16" in caught.value.remedy
