"""The verbs from Python, on a quick target."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import mobilevit_deploy
from mobilevit_deploy.artifact import manifest_path, open_artifact
from mobilevit_deploy.demo.photographs import BACKGROUNDS
from mobilevit_deploy.demo.shapes import CLASSES, generate
from mobilevit_deploy.errors import CheckpointError, DeployError, TargetError, UsageError
from mobilevit_deploy.pipeline import check
from mobilevit_deploy.progress import name_of
from mobilevit_deploy.reference import Reference, load_model
from mobilevit_deploy.target import Availability, get_target


@pytest.fixture
def dead() -> Reference:
    """A model whose head ignores the picture: nothing can be proven with it."""
    reference = load_model().resized((64, 64))
    torch.nn.init.zeros_(reference.model.classifier.weight)
    return reference


def test_the_six_verbs_are_names_of_the_package() -> None:
    for verb in ("load_model", "export", "verify", "evaluate", "predict", "benchmark"):
        assert callable(getattr(mobilevit_deploy, verb))
        assert verb in dir(mobilevit_deploy)


def test_stages_are_told_in_the_order_of_the_program(reference: Reference, tmp_path: Path) -> None:
    stages: list[str] = []
    made = mobilevit_deploy.export(
        reference, target="toy", image_size=(64, 96), output=tmp_path, on_stage=stages.append
    )
    assert stages == ["load", "rewrite", "convert", "parity", "write"]
    assert made.path.name == "mobilevit-xxs-shapes-64x96-fp32.pt2"
    assert made.manifest.inputs[0].shape == (1, 64, 96, 3)
    assert made.manifest.parity.passed


def test_export_leaves_the_reference_as_it_was(reference: Reference, tmp_path: Path) -> None:
    before = reference.weights_sha256()
    mobilevit_deploy.export(reference, target="onnx", image_size=64, output=tmp_path)
    assert reference.weights_sha256() == before


def test_failed_artifact_is_set_apart_and_replaced_by_one_that_passes(
    dead: Reference, reference: Reference, tmp_path: Path
) -> None:
    failed = mobilevit_deploy.export(dead, target="toy", output=tmp_path)
    assert failed.manifest.parity.verdict == "fail"
    assert failed.path.parent == tmp_path / "failed"
    passed = mobilevit_deploy.export(reference, target="toy", image_size=64, output=tmp_path)
    assert passed.path == tmp_path / failed.path.name
    assert not failed.path.exists()
    assert not manifest_path(failed.path).exists()


def test_failed_export_does_not_replace_an_older_artifact_that_passed(
    dead: Reference, reference: Reference, tmp_path: Path
) -> None:
    good = mobilevit_deploy.export(reference, target="toy", image_size=64, output=tmp_path)
    content = good.path.read_bytes()
    mobilevit_deploy.export(dead, target="toy", output=tmp_path)
    assert good.path.read_bytes() == content
    assert mobilevit_deploy.verify(good.path).passed


def test_verify_compares_with_another_model_if_asked(
    artifact_copy: Callable[..., Path], reference: Reference
) -> None:
    path = artifact_copy("toy")
    assert mobilevit_deploy.verify(path, model=reference).passed
    other = load_model()
    other.model.classifier.bias.data[0] += 1
    result = mobilevit_deploy.verify(path, model=other)
    assert not result.passed
    assert "does not hold the weights" in result.reasons[0]


def test_target_that_cannot_run_here(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    absent = Availability(usable=False, engine="", reason="it is missing", remedy="Get it.")
    monkeypatch.setattr(type(get_target("toy")), "availability", lambda _: absent)
    with pytest.raises(TargetError, match="it is missing"):
        mobilevit_deploy.export(reference, target="toy")


def test_unknown_precision(reference: Reference) -> None:
    with pytest.raises(UsageError, match="no precision 'int4'"):
        mobilevit_deploy.export(reference, target="toy", precision="int4")


def test_unknown_converter_suggests_the_nearest(reference: Reference) -> None:
    with pytest.raises(UsageError, match=r"no converter 'torch\.exports'") as caught:
        mobilevit_deploy.export(reference, target="toy", converter="torch.exports")
    assert "Did you mean 'torch.export'?" in caught.value.remedy


def test_unknown_input(reference: Reference) -> None:
    with pytest.raises(UsageError, match="no input 'video'"):
        mobilevit_deploy.export(reference, target="toy", input="video")


def test_channel_order_of_the_user_goes_into_the_file_and_its_manifest(tmp_path: Path) -> None:
    as_declared = mobilevit_deploy.export("demo", target="toy", image_size=64, output=tmp_path / "bgr")
    other = mobilevit_deploy.export(
        "demo", target="toy", image_size=64, channel_order="rgb", output=tmp_path / "rgb"
    )
    assert as_declared.manifest.model.preprocessing.channel_order == "BGR"
    assert other.manifest.model.preprocessing.channel_order == "RGB"
    assert as_declared.manifest.parity.passed
    assert other.manifest.parity.passed  # it equals its own reference, which takes RGB as well
    assert mobilevit_deploy.verify(other.path).passed
    assert as_declared.manifest.sha256 != other.manifest.sha256


def test_one_order_passed_off_as_the_other_is_caught(tmp_path: Path) -> None:
    """A file made for RGB, checked against the reference that takes BGR."""
    rgb = mobilevit_deploy.export("demo", target="toy", image_size=64, channel_order="rgb", output=tmp_path)
    result = check(open_artifact(rgb.path)[0], get_target("toy"), load_model("demo").resized((64, 64)))
    assert not result.passed


def test_labels_of_the_user_replace_the_checkpoints(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {i}" for i in range(12)), encoding="utf-8")
    made = mobilevit_deploy.export("demo", target="toy", image_size=64, labels=names, output=tmp_path)
    assert made.manifest.labels == tuple(f"class {i}" for i in range(12))
    names.write_text("only one", encoding="utf-8")
    with pytest.raises(DeployError, match="12"):
        mobilevit_deploy.export("demo", target="toy", image_size=64, labels=names, output=tmp_path)


def test_options_that_are_not_the_default_are_named_in_the_file(segmenter: Reference, tmp_path: Path) -> None:
    made = mobilevit_deploy.export(
        segmenter, target="toy", input="tensor", argmax=True, image_size=64, output=tmp_path
    )
    assert made.path.name == "mobilevit-xxs-shapes-segmentation-64-fp32-tensor-mask.pt2"
    assert made.manifest.parity.passed


def test_verify_holds_the_manifest_against_the_file(artifact_copy: Callable[..., Path]) -> None:
    """An app reads the manifest: what it says of a good file must be true."""
    path = artifact_copy("toy")
    note = json.loads(manifest_path(path).read_text())
    note["preprocessing"]["channel_order"] = "BGR"
    manifest_path(path).write_text(json.dumps(note))
    result = mobilevit_deploy.verify(path)
    assert not result.passed
    assert "channel_order is RGB in the file, BGR in the manifest" in result.reasons[0]


def test_verify_against_a_model_for_another_task(
    artifact_copy: Callable[..., Path], segmenter: Reference
) -> None:
    with pytest.raises(UsageError, match="is for image-classification"):
        mobilevit_deploy.verify(artifact_copy("toy"), model=segmenter)


def test_artifact_whose_model_is_gone_says_how_to_name_it(artifact_copy: Callable[..., Path]) -> None:
    path = artifact_copy("toy")
    note = json.loads(manifest_path(path).read_text())
    note["model"]["source"] = "./moved/away"
    manifest_path(path).write_text(json.dumps(note))
    with pytest.raises(CheckpointError, match="moved/away") as caught:
        mobilevit_deploy.verify(path)
    assert "--model" in caught.value.remedy


class TestAccuracyIsPartOfTheExport:
    """At 192 pixels, where the bundled model is right about 97 % of its pictures."""

    @pytest.fixture
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mobilevit_deploy.accuracy.pictures.HELD_OUT", 36)
        monkeypatch.setattr("mobilevit_deploy.quantize.calibration.GENERATED", 4)
        monkeypatch.setattr("mobilevit_deploy.pipeline._ANALYSED", 2)
        monkeypatch.setattr("mobilevit_deploy.pipeline._FLOAT_BLOCKS", (1, 4))

    @pytest.mark.usefixtures("few")
    def test_int8_that_holds_passes_and_tells_what_it_rests_on(self, tmp_path: Path) -> None:
        stages: list[str] = []
        made = mobilevit_deploy.export(
            "demo", target="toy", precision="int8", image_size=192, output=tmp_path, on_stage=stages.append
        )
        names = list(dict.fromkeys(name_of(stage) for stage in stages))
        assert names == ["load", "calibrate", "rewrite", "convert", "parity", "evaluate", "write"]
        accuracy, quantization = made.manifest.accuracy, made.manifest.quantization
        assert accuracy is not None
        assert accuracy.verdict == "pass"
        assert accuracy.evaluation is not None
        assert accuracy.evaluation.count == 36
        assert accuracy.evaluation.score.reference > 0.9
        assert quantization is not None
        assert quantization.calibration == f"{4 + len(BACKGROUNDS)} pictures, bundled"
        assert quantization.float_modules == ()
        assert made.path.parent == tmp_path

    @pytest.mark.usefixtures("few")
    def test_int8_that_does_not_hold_keeps_its_worst_blocks_in_floating_point(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Five bits and one scale a tensor lose what eight bits keep."""
        monkeypatch.setattr(type(get_target("toy")), "bits", 5)
        made = mobilevit_deploy.export(
            "demo", target="toy", precision="int8", image_size=192, output=tmp_path
        )
        quantization = made.manifest.quantization
        assert quantization is not None
        assert len(quantization.float_modules) in (1, 4)
        modules = dict(load_model().model.mobilevit.named_modules())
        assert all(path in modules or path == "classifier" for path in quantization.float_modules)
        if not made.manifest.passed:
            assert made.path.parent == tmp_path / "failed"

    @pytest.mark.usefixtures("few")
    def test_int8_that_cannot_be_saved_is_set_apart_with_the_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(get_target("toy")), "bits", 3)
        made = mobilevit_deploy.export(
            "demo", target="toy", precision="int8", image_size=192, output=tmp_path
        )
        assert not made.manifest.passed
        assert made.path.parent == tmp_path / "failed"
        assert made.manifest.reasons

    def test_gate_can_be_switched_off_and_the_manifest_says_so(self, tmp_path: Path) -> None:
        made = mobilevit_deploy.export(
            "demo", target="toy", precision="int8", image_size=96, gate=False, output=tmp_path
        )
        assert made.manifest.passed
        assert made.manifest.accuracy is not None
        assert made.manifest.accuracy.verdict == "not-run"
        assert "--no-gate" in made.manifest.accuracy.reasons[0]

    def test_model_of_ones_own_needs_labelled_pictures_before_any_work_is_done(self, tmp_path: Path) -> None:
        names = tmp_path / "names.txt"
        names.write_text("\n".join(f"class {i}" for i in range(12)), encoding="utf-8")
        with pytest.raises(UsageError, match="no bundled pictures") as caught:
            mobilevit_deploy.export(
                "demo", target="toy", precision="int8", labels=names, output=tmp_path / "out"
            )
        assert "--evaluation" in caught.value.remedy

    def test_its_own_pictures_calibrate_and_judge_it(self, tmp_path: Path) -> None:
        for number in range(24):
            sample = generate(number, split="train")
            folder = tmp_path / "pictures" / CLASSES[sample.label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.image).save(folder / f"{number}.png")
        made = mobilevit_deploy.export(
            "demo",
            target="toy",
            precision="int8",
            image_size=192,
            calibration=tmp_path / "pictures",
            evaluation=tmp_path / "pictures",
            output=tmp_path / "out",
        )
        assert made.manifest.accuracy is not None
        assert made.manifest.accuracy.evaluation is not None
        assert made.manifest.accuracy.evaluation.pictures == str(tmp_path / "pictures")
        assert made.manifest.quantization is not None
        assert made.manifest.quantization.calibration.startswith("24 pictures")

    @pytest.mark.usefixtures("few")
    def test_evaluate_finds_again_what_the_export_found(self, tmp_path: Path) -> None:
        made = mobilevit_deploy.export(
            "demo", target="toy", precision="int8", image_size=192, output=tmp_path
        )
        assert made.manifest.accuracy is not None
        assert mobilevit_deploy.evaluate(made.path) == made.manifest.accuracy.evaluation
