"""Packages run here: equal to the reference where they are whole, and caught where they are not."""

from __future__ import annotations

import dataclasses
import math
import platform
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mobilevit_deploy.targets.coreml.package import MODEL_FILE
from torch import nn

from conftest import SIDE, card
from mobilevit_deploy.artifact import Artifact, read_manifest
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.model import MobileViTForImageClassification
from mobilevit_deploy.model.graph import PictureGraph, deploy_graph
from mobilevit_deploy.pipeline import Exported, check
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, Session, get_target

GREY, BGR = 10, 30
"""Numbers of colour spaces in Core ML's format."""

on_linux = pytest.mark.skipif(platform.system() == "Darwin", reason="a Mac runs packages in Core ML")


def picture(artifact: Artifact, seed: int = 0) -> np.ndarray:
    """Noise in colours, (1, height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, artifact.inputs[0].shape).astype(np.uint8)


def opened(made: Exported) -> tuple[Artifact, Session]:
    artifact = made.manifest.artifact(made.path.parent)
    return artifact, get_target("coreml").open_session(artifact)


@on_linux
class TestParity:
    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_equals_the_reference(self, exported: Callable[..., Exported], precision: str) -> None:
        parity = exported("coreml", precision).manifest.parity
        assert parity.passed, parity.reasons
        assert parity.engine.startswith("mil-interpreter (coremltools ")

    def test_float32_is_far_within_its_tolerance(self, exported: Callable[..., Exported]) -> None:
        assert exported("coreml", "fp32").manifest.parity.outputs[0].max_error < 2e-5

    def test_float16_really_rounds(self, exported: Callable[..., Exported]) -> None:
        # 11 significant bits through a network of this depth; float32 arithmetic would give over 100 dB.
        sqnr = [case.sqnr_db for case in exported("coreml", "fp16").manifest.parity.outputs[0].cases]
        assert all(math.isfinite(value) and 40 < value < 80 for value in sqnr)

    def test_size_that_patches_do_not_tile(self, odd_fp16: Exported) -> None:
        assert odd_fp16.manifest.inputs[0].shape[-2:] == (65, 97)
        assert odd_fp16.manifest.parity.passed, odd_fp16.manifest.parity.reasons

    def test_dilated_model(self, reference: Reference, tmp_path: Path) -> None:
        """An output stride of 8 dilates convolutions by 2 and by 4."""
        model = MobileViTForImageClassification(reference.model.config.updated(output_stride=8)).eval()
        model.load_state_dict(reference.model.state_dict())
        pixels = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
        resized = reference.resized((64, 64))
        target = get_target("coreml")
        labels = card(resized.preprocess, resized.labels)
        spec = GraphSpec(resized.input(Input.TENSOR), resized.output(), labels)
        graph = deploy_graph(model, target.rewrites(ExportOptions(Precision.FP32)))
        artifact = target.export(graph, spec, ExportOptions(Precision.FP32), tmp_path / "dilated.mlpackage")
        (logits,) = target.open_session(artifact).run(pixels)
        with torch.no_grad():
            expected = model(torch.from_numpy(pixels)).logits.numpy()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5 * np.ptp(expected))

    @pytest.mark.parametrize(
        "activation",
        [nn.SiLU(), nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.Hardswish()],
        ids=lambda module: type(module).__name__,
    )
    @pytest.mark.parametrize(
        "precision", [each for each in get_target("coreml").precisions if not each.calibrated]
    )
    def test_every_activation_that_a_config_may_name(
        self,
        small_net: type[nn.Module],
        export_small: Callable[..., Artifact],
        tmp_path: Path,
        activation: nn.Module,
        precision: Precision,
    ) -> None:
        graph = small_net(activation).eval()
        artifact = export_small(graph, tmp_path, precision)
        pixels = np.random.default_rng(0).random(artifact.inputs[0].shape, np.float32)
        (logits,) = get_target("coreml").open_session(artifact).run(pixels)
        with torch.no_grad():
            expected = graph(torch.from_numpy(pixels)).numpy()
        rounding = 1e-6 if precision is Precision.FP32 else 4e-3
        np.testing.assert_allclose(logits, expected, rtol=0, atol=rounding * np.ptp(expected))


@on_linux
class TestNegativeControls:
    def test_one_damaged_convolution_fails_for_its_error(
        self, artifact_copy: Callable[..., Path], reference: Reference
    ) -> None:
        path = artifact_copy("coreml", "fp32")
        weights = path / "Data/com.apple.CoreML/weights/weight.bin"
        stem = reference.model.state_dict()["mobilevit.conv_stem.convolution.weight"]
        content = weights.read_bytes()
        # BatchNorm is folded into it, so its bytes are not the checkpoint's; find the first blob of its size.
        size = stem.numel() * 4
        start = (
            content.index((0xDEADBEEF).to_bytes(4, "little") + b"\2\0\0\0" + size.to_bytes(8, "little")) + 64
        )
        kernel = np.frombuffer(content[start : start + size], "<f4").reshape(stem.shape).copy()
        kernel[0] *= -1
        weights.write_bytes(content[:start] + kernel.tobytes() + content[start + size :])

        artifact = read_manifest(path).artifact(path.parent)
        parity = check(artifact, get_target("coreml"), reference)
        assert parity.verdict == "fail"
        assert "of the reference's spread exceeds 1e-04" in parity.reasons[0]

    def test_swapped_channels_fail(self, exported: Callable[..., Exported], reference: Reference) -> None:
        artifact, session = opened(exported("coreml", "fp32", input="tensor"))
        pixels = np.random.default_rng(0).random(artifact.inputs[0].shape, np.float32)
        pixels[:, 0] /= 4
        (swapped,) = session.run(np.ascontiguousarray(pixels[:, ::-1]))
        expected = reference.run(pixels)
        assert np.abs(swapped - expected).max() > 100 * 1e-4 * np.ptp(expected)


@on_linux
class TestInterpreterSession:
    def test_speed_of_the_interpreter_means_nothing(self, exported: Callable[..., Exported]) -> None:
        assert opened(exported("coreml"))[1].measurable is False

    def test_runs_give_the_same_logits_again(self, exported: Callable[..., Exported]) -> None:
        artifact, session = opened(exported("coreml", "fp16"))
        pixels = picture(artifact)
        before = pixels.copy()
        (first,), (second,) = session.run(pixels), session.run(pixels)
        assert np.array_equal(first, second)
        assert np.array_equal(pixels, before)
        assert first.dtype == np.float32

    @pytest.mark.parametrize(
        "inputs",
        [
            [],
            [np.zeros((1, 3, 9, 9), np.float32)],
            [np.zeros((1, 3, SIDE, SIDE), np.float64)],
            [np.zeros((1, 3, SIDE, SIDE), np.float32)] * 2,
        ],
        ids=["none", "another shape", "another type", "one too many"],
    )
    def test_wrong_input_is_refused_with_what_is_right(
        self, exported: Callable[..., Exported], inputs: list[np.ndarray]
    ) -> None:
        _, session = opened(exported("coreml", "fp32", input="tensor"))
        with pytest.raises(SessionError, match=rf"takes float32\[1, 3, {SIDE}, {SIDE}\], not"):
            session.run(*inputs)

    def test_package_of_another_model_than_its_manifest_says(
        self,
        small_net: type[nn.Module],
        export_small: Callable[..., Artifact],
        small_spec: GraphSpec,
        tmp_path: Path,
    ) -> None:
        artifact = export_small(small_net(nn.ReLU()), tmp_path)
        renamed = small_spec.input.model_copy(update={"name": "image"})
        claim = Artifact(artifact.path, "coreml", Precision.FP32, (renamed,), artifact.outputs)
        session = get_target("coreml").open_session(claim)
        with pytest.raises(SessionError, match="do not belong together"):
            session.run(np.zeros(renamed.shape, np.float32))


@on_linux
class TestPictures:
    """What Core ML does with a pixel buffer, by what the package declares."""

    @pytest.fixture
    def declaring(self, ct: Any, picture_artifact: Artifact, tmp_path: Path) -> Callable[..., Artifact]:
        """A copy whose package declares another image."""

        def copy(**fields: object) -> Artifact:
            path = Path(shutil.copytree(picture_artifact.path, tmp_path / picture_artifact.path.name))
            spec = ct.proto.Model_pb2.Model()
            spec.ParseFromString((path / MODEL_FILE).read_bytes())
            for name, value in fields.items():
                setattr(spec.description.input[0].type.imageType, name, value)
            (path / MODEL_FILE).write_bytes(spec.SerializeToString())
            return dataclasses.replace(picture_artifact, path=path)

        return copy

    def test_levels_and_channels_arrive_as_the_graph_takes_them(
        self, picture_artifact: Artifact, small_net: type[nn.Module]
    ) -> None:
        image = picture(picture_artifact)
        (logits,) = get_target("coreml").open_session(picture_artifact).run(image)
        with torch.no_grad():
            expected = PictureGraph(small_net(nn.SiLU())).eval()(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6 * np.ptp(expected))

    def test_channel_order_is_the_packages(
        self, picture_artifact: Artifact, declaring: Callable[..., Artifact]
    ) -> None:
        image, target = picture(picture_artifact), get_target("coreml")
        (turned,) = target.open_session(declaring(colorSpace=BGR)).run(image)
        (plain,) = target.open_session(picture_artifact).run(image)
        (expected,) = target.open_session(picture_artifact).run(np.ascontiguousarray(image[..., ::-1]))
        assert np.array_equal(turned, expected)
        assert np.abs(turned - plain).max() > 0.01 * np.ptp(plain)

    @pytest.mark.parametrize(
        ("declared", "message"),
        [({"width": 15}, "15x10 pixels in RGB"), ({"colorSpace": GREY}, "in GRAYSCALE")],
    )
    def test_package_that_declares_another_picture(
        self,
        picture_artifact: Artifact,
        declaring: Callable[..., Artifact],
        declared: dict[str, object],
        message: str,
    ) -> None:
        session = get_target("coreml").open_session(declaring(**declared))
        with pytest.raises(SessionError, match=message):
            session.run(picture(picture_artifact))


class FakeCoreMl:
    """Stands in for ``coremltools.models.MLModel`` with the same calls; a Mac runs the real one below."""

    def __init__(self, path: str, *, compute_units: object) -> None:
        if "refused" in path:
            warnings.warn("You will not be able to run predict() on this Core ML model.", RuntimeWarning)  # noqa: B028
        self.path, self.compute_units = path, compute_units

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if "image" in inputs:
            red, green, blue = inputs["image"].getpixel((2, 1))
            return {
                "classLabel": "a",
                "classLabel_probs": {},
                "logits": np.float32([[red, green, blue, 0, 0]]),
            }
        pixels = inputs["pixel_values"]
        if pixels[0, 0, 0, 0] < 0:
            raise RuntimeError("the Neural Engine is on strike")
        return {"another": pixels, "logits": pixels.sum((2, 3)) @ np.ones((3, 5), np.float32)}


class TestCoremlSession:
    """What we do around Core ML, told by a stand-in for it."""

    @pytest.fixture(autouse=True)
    def _on_a_mac(self, monkeypatch: pytest.MonkeyPatch, ct: Any) -> None:
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
        monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
        monkeypatch.setattr(ct.models, "MLModel", FakeCoreMl)

    def session(self, spec: GraphSpec, name: str = "small.mlpackage") -> Session:
        artifact = Artifact(Path(name), "coreml", Precision.FP32, (spec.input,), (spec.output,))
        return get_target("coreml").open_session(artifact)

    def test_inputs_go_in_and_outputs_come_out_by_name(self, small_spec: GraphSpec) -> None:
        session = self.session(small_spec)
        outputs = session.run(np.ones(small_spec.input.shape, np.float32))
        assert [array.shape for array in outputs] == [small_spec.output.shape]
        assert session.engine == "coreml (macOS 15.1)"
        assert session.measurable
        session.close()

    def test_picture_goes_in_as_an_rgb_image(self, picture_spec: GraphSpec) -> None:
        image = np.zeros(picture_spec.input.shape, np.uint8)
        image[0, 1, 2] = (9, 8, 7)
        (logits,) = self.session(picture_spec).run(image)
        assert logits.tolist() == [[9, 8, 7, 0, 0]]

    def test_package_that_core_ml_refuses(self, small_spec: GraphSpec) -> None:
        with pytest.raises(SessionError, match=r"cannot load refused\.mlpackage"):
            self.session(small_spec, "refused.mlpackage")

    def test_failure_at_run_time(self, small_spec: GraphSpec) -> None:
        with pytest.raises(SessionError, match="on strike"):
            self.session(small_spec).run(np.full(small_spec.input.shape, -1, np.float32))

    def test_wrong_input(self, small_spec: GraphSpec) -> None:
        with pytest.raises(SessionError, match="takes float32"):
            self.session(small_spec).run(np.zeros((1, 2), np.float32))


@pytest.mark.mac
@pytest.mark.skipif(platform.system() != "Darwin", reason="Core ML exists on macOS only")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_core_ml_agrees_with_the_interpreter(exported: Callable[..., Exported], precision: str) -> None:
    """What the interpreter proves elsewhere holds on a Mac too."""
    from mobilevit_deploy.targets.coreml.session import InterpreterSession

    artifact, real = opened(exported("coreml", precision))
    pixels = picture(artifact)
    (core_ml,), (interpreted,) = real.run(pixels), InterpreterSession(artifact).run(pixels)
    assert real.engine.startswith("coreml (macOS")
    np.testing.assert_allclose(core_ml, interpreted, rtol=0, atol=0.02 * np.ptp(interpreted))
