"""``convert``: any checkpoint to a folder that transformers loads and reproduces."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.models.mobilevit.image_processing_pil_mobilevit import MobileViTImageProcessorPil

from fakes.published import CvnetsSegmenter, alive, cvnets_classifier, timm_classifier
from mobilevit_deploy.cli import main
from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.model import MobileViTConfig
from mobilevit_deploy.reference import load_model

Cli = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., tuple[int, str, str]]

FILES = ["config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.fixture(scope="module")
def timm_model() -> Any:
    return timm_classifier("xxs", labels=3)


@pytest.fixture(scope="module")
def segmenter() -> Any:
    return alive(CvnetsSegmenter(MobileViTConfig.preset("xxs", num_labels=4, output_stride=16)))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in this process, which has torch already; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def in_this_process(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mobilevit-deploy", "convert", *map(str, arguments)])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main()
        code = left.value.code or 0
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return in_this_process


@pytest.fixture
def timm_file(timm_model: Any, tmp_path: Path) -> Path:
    save_file(timm_model.state_dict(), tmp_path / "flowers.safetensors")
    return tmp_path / "flowers.safetensors"


@torch.inference_mode()
def test_transformers_reproduces_timms_model(
    cli: Cli, timm_model: Any, timm_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "classes.txt").write_text("rose\ntulip\ndaisy\n")
    done = cli("convert", timm_file, "--output", "flowers", "--labels", "classes.txt")
    assert done.returncode == 0, done.stderr
    for said in (
        "timm, MobileViT XXS, image-classification",
        "3: rose, tulip, daisy",
        "RGB",
        "resize to 284",
    ):
        assert said in done.stdout
    folder = tmp_path / "flowers"
    assert sorted(file.name for file in folder.iterdir()) == FILES
    theirs, report = transformers.MobileViTForImageClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert theirs.config.id2label == {0: "rose", 1: "tulip", 2: "daisy"}
    assert_same_logits(theirs, timm_model, torch.rand(1, 3, 64, 64))
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    assert processor["do_flip_channel_order"] is False
    assert processor["size"] == {"shortest_edge": 284}


@torch.inference_mode()
def test_transformers_reproduces_a_classifier_of_ml_cvnets_from_the_picture_on(
    cli: Cli, tmp_path: Path
) -> None:
    model = cvnets_classifier("xxs", labels=3)
    torch.save(model.state_dict(), tmp_path / "mobilevit_xxs.pt")
    done = cli("convert", "mobilevit_xxs.pt", "--output", "flowers")
    assert done.returncode == 0, done.stderr
    assert "ml-cvnets, MobileViT XXS, image-classification" in done.stdout
    theirs = transformers.MobileViTForImageClassification.from_pretrained(tmp_path / "flowers")
    processor = MobileViTImageProcessorPil.from_pretrained(tmp_path / "flowers")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    pixels = processor(picture, return_tensors="pt").pixel_values
    assert_same_logits(theirs, model, pixels)
    own = load_model(tmp_path / "flowers")
    # transformers resizes in 8 bits; our result is its up to a grey level.
    assert np.abs(own.preprocess.apply(picture) - pixels.numpy()).max() <= 1.001 / 255
    assert own.preprocess.channel_order == "BGR"


@torch.inference_mode()
def test_transformers_reproduces_the_averaged_weights_of_a_segmenter_of_ml_cvnets(
    cli: Cli, segmenter: Any, tmp_path: Path
) -> None:
    averaged = segmenter.state_dict()
    last = {name: tensor * 2 for name, tensor in averaged.items()}
    content = {"epoch": 7, "model_state_dict": last, "ema_state_dict": averaged}
    torch.save(content, tmp_path / "training_checkpoint_last.pt")
    done = cli("convert", "training_checkpoint_last.pt", "-o", "segmenter", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["format"] == "ml-cvnets"
    assert document["task"] == "semantic-segmentation"
    assert document["size"] == "xxs"
    assert document["channel_order"] == document["preprocessing"]["channel_order"] == "BGR"
    assert document["preprocessing"]["crop"] == [512, 512]
    for told in ("EMA", "BGR", "Output stride 16"):
        assert any(told in note for note in document["notes"])
    theirs = transformers.MobileViTForSemanticSegmentation.from_pretrained(tmp_path / "segmenter")
    assert_same_logits(theirs, segmenter, torch.rand(1, 3, 64, 128))


def assert_same_logits(theirs: Any, model: Any, pixels: torch.Tensor) -> None:
    expected = model(pixels)
    assert (theirs.eval()(pixels).logits - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


def test_what_is_written_is_the_model_that_was_read(run: Run, timm_file: Path, tmp_path: Path) -> None:
    assert run(timm_file, "-o", "once")[0] == 0
    assert run("once", "-o", "twice")[0] == 0
    once, twice = load_model(tmp_path / "once"), load_model(tmp_path / "twice")
    assert load_model(timm_file).weights_sha256() == once.weights_sha256() == twice.weights_sha256()
    for name in FILES:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_the_channel_order_is_its_users_to_declare(run: Run, timm_file: Path, tmp_path: Path) -> None:
    _, out, _ = run(timm_file, "-o", "bgr", "--channel-order", "BGR", "--json")
    assert json.loads(out)["channel_order"] == "BGR"
    assert load_model(tmp_path / "bgr").preprocess.channel_order == "BGR"
    code, _, err = run(timm_file, "-o", "other", "--channel-order", "gbr")
    assert code == 2
    assert "no channel order 'gbr'" in err
    assert not (tmp_path / "other").exists()


def test_float16_halves_the_file(run: Run, timm_file: Path, tmp_path: Path) -> None:
    assert run(timm_file, "-o", "half", "--dtype", "float16")[0] == 0
    half = tmp_path / "half" / "model.safetensors"
    assert half.stat().st_size < 0.52 * timm_file.stat().st_size
    assert {tensor.dtype for tensor in load_file(half).values()} == {torch.float16, torch.int64}
    theirs = transformers.MobileViTForImageClassification.from_pretrained(
        tmp_path / "half", dtype=torch.float32
    )
    assert {parameter.dtype for parameter in theirs.parameters()} == {torch.float32}
    assert run(timm_file, "-o", "int8", "--dtype", "int8")[0] == 2


def test_the_last_step_can_be_asked_for(run: Run, tmp_path: Path) -> None:
    tensors = cvnets_classifier("xxs", labels=3).state_dict()
    last = {**tensors, "classifier.fc.bias": torch.tensor([1.0, 2.0, 3.0])}
    torch.save({"model_state_dict": last, "ema_state_dict": tensors}, tmp_path / "training.pt")
    assert run("training.pt", "-o", "last", "--no-ema")[0] == 0
    assert load_file(tmp_path / "last" / "model.safetensors")["classifier.bias"].tolist() == [1, 2, 3]


def test_a_checkpoint_is_not_replaced_unasked(run: Run, timm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for file in demo_checkpoint().iterdir():
        (tmp_path / "mine" / file.name).write_bytes(file.read_bytes())
    before = {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()}
    code, _, err = run(timm_file, "-o", "mine")
    assert code == 3
    assert "holds a checkpoint already" in err
    assert {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()} == before
    assert run(timm_file, "-o", "mine", "--overwrite")[0] == 0
    assert load_model(tmp_path / "mine").weights_sha256() == load_model(timm_file).weights_sha256()
    assert (tmp_path / "mine" / "README.md").read_bytes() == before["README.md"]


def test_what_cannot_be_converted_leaves_nothing(run: Run, timm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("rose\ntulip")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04")
    broken = load_file(timm_file)
    broken["head.fc.bias"][0] = float("nan")
    save_file(broken, tmp_path / "nan.safetensors")
    for arguments, told in (
        ((timm_file, "--labels", "two.txt"), "names 2 classes, and the model has 3"),
        (("broken.pth",), "truncated or corrupt"),
        (("nan.safetensors",), "has NaN in classifier.bias"),
        (("no/such/file.pth",), "no folder or file"),
        ((timm_file, "--ema"), "holds no averaged (EMA) weights"),
    ):
        code, out, err = run(*arguments, "-o", "out")
        assert code == 3, out
        assert told in err
        assert not (tmp_path / "out").exists()


def test_hugging_faces_own_must_say_how_it_is_fed(run: Run, tmp_path: Path) -> None:
    model = transformers.MobileViTForImageClassification(
        transformers.MobileViTConfig(**MobileViTConfig.preset("xxs").to_dict())
    )
    model.save_pretrained(tmp_path / "theirs")
    code, _, err = run("theirs", "-o", "mine")
    assert code == 3
    assert "must not be guessed" in err
    assert not (tmp_path / "mine").exists()
