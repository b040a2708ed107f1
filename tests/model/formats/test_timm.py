"""timm's checkpoints give what timm's model gives, and are fed as timm feeds it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from fakes.published import PARAMETERS, TIMM_CONFIG, timm_classifier
from mobilevit_deploy.errors import CheckpointError, DeployError
from mobilevit_deploy.model import MobileViTConfig, MobileViTForImageClassification
from mobilevit_deploy.model.checkpoint import open_checkpoint
from mobilevit_deploy.model.formats import Format
from mobilevit_deploy.model.formats.timm import read
from mobilevit_deploy.task import Task


@pytest.fixture(scope="module")
def xxs() -> Any:
    return timm_classifier("xxs")


@pytest.fixture
def folder(xxs: Any, tmp_path: Path) -> Path:
    """What ``timm.models.save_for_hf`` leaves, which is what the hub holds."""
    return write_folder(tmp_path / "my-timm-model", xxs.state_dict(), TIMM_CONFIG)


def write_folder(folder: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def with_settings(**changes: Any) -> dict[str, Any]:
    config = copy.deepcopy(TIMM_CONFIG)
    config["pretrained_cfg"].update(changes)
    return config


@pytest.mark.parametrize("size", ["xxs", "xs", "s"])
@torch.inference_mode()
def test_every_size_is_recognised_and_computes_the_same(size: str, tmp_path: Path) -> None:
    published = timm_classifier(size, labels=1000)
    assert sum(parameter.numel() for parameter in published.parameters()) == PARAMETERS[size]
    torch.save(published.state_dict(), tmp_path / f"mobilevit_{size}.pth")
    checkpoint = open_checkpoint(tmp_path / f"mobilevit_{size}.pth")
    assert checkpoint.format is Format.TIMM
    assert checkpoint.task is Task.CLASSIFICATION
    assert checkpoint.name == f"mobilevit_{size}"
    assert checkpoint.config.size == size
    expected = MobileViTConfig.preset(
        size, num_labels=1000, architectures=("MobileViTForImageClassification",)
    )
    assert checkpoint.config == expected
    pixels = torch.rand(2, 3, 64, 128)
    theirs, ours = published(pixels), checkpoint.load()(pixels).logits
    assert (ours - theirs).abs().max() < 1e-5 * (theirs.max() - theirs.min())


@torch.inference_mode()
def test_the_folder_is_loaded_by_the_published_class(xxs: Any, folder: Path) -> None:
    model = MobileViTForImageClassification.from_pretrained(folder)
    pixels = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(pixels).logits, xxs(pixels))
    assert MobileViTConfig.from_pretrained(folder) == model.config
    assert (
        open_checkpoint(folder).name == open_checkpoint(folder / "model.safetensors").name == "my-timm-model"
    )


def test_two_exchanged_projections_would_show(xxs: Any, folder: Path) -> None:
    """The comparison above fails on the mistake that shapes cannot catch."""
    tensors = dict(xxs.state_dict())
    name = "stages.2.1.transformer.0.attn.qkv.weight"
    query, key, value = tensors[name].chunk(3)
    tensors[name] = torch.cat((value, key, query))
    save_file(tensors, folder / "model.safetensors")
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = open_checkpoint(folder).load()(pixels).logits, xxs(pixels)
    assert (ours - theirs).abs().max() > 1e-3 * (theirs.max() - theirs.min())


def test_a_bare_file_is_fed_as_timm_publishes_it(xxs: Any, tmp_path: Path) -> None:
    save_file(xxs.state_dict(), tmp_path / "finetuned.safetensors")
    checkpoint = open_checkpoint(tmp_path / "finetuned.safetensors")
    processor = checkpoint.preprocessing
    assert processor is not None
    assert processor.size == {"shortest_edge": 284}  # 256 / 0.9, rounded down
    assert processor.crop_size == {"height": 256, "width": 256}
    assert processor.resample == 3  # bicubic
    assert processor.rescale_factor == 1 / 255
    assert processor.do_flip_channel_order is False  # RGB
    assert any("RGB" in note for note in checkpoint.notes)
    assert any("284" in note for note in checkpoint.notes)


def test_config_json_says_how_to_feed_it(xxs: Any, tmp_path: Path) -> None:
    config = with_settings(
        input_size=[3, 320, 320], crop_pct=1.0, interpolation="bilinear", std=[0.5] * 3, crop_mode="squash"
    )
    checkpoint = open_checkpoint(write_folder(tmp_path / "model", xxs.state_dict(), config))
    processor = checkpoint.preprocessing
    assert processor is not None
    assert processor.size == {"height": 320, "width": 320}
    assert processor.crop_size == {"height": 320, "width": 320}
    assert processor.resample == 2
    assert processor.rescale_factor == pytest.approx(2 / 255)
    assert checkpoint.config.image_size == 320


def test_a_preprocessor_config_beside_it_goes_first(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 99}}')
    processor = open_checkpoint(folder).preprocessing
    assert processor is not None
    assert processor.size == {"shortest_edge": 99}
    assert processor.do_flip_channel_order is True


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"label_names": list("abcde")}, "abcde"),
        ({"label_names": {str(i): name for i, name in enumerate("abcde")}}, "abcde"),
        (
            {"label_names": list("abcde"), "label_descriptions": {"b": "B"}},
            "aBcde",
        ),  # synsets and their words
        ({"pretrained_cfg": {"label_names": list("abcde")}}, "abcde"),
    ],
)
def test_labels_are_read(labels: dict[str, Any], expected: str, xxs: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", xxs.state_dict(), {**TIMM_CONFIG, **labels})
    assert "".join(open_checkpoint(folder).config.id2label.values()) == expected


def test_labels_of_another_classifier_are_not_believed(xxs: Any, tmp_path: Path) -> None:
    config = {**TIMM_CONFIG, "label_names": ["cat", "dog"]}
    folder = write_folder(tmp_path / "model", xxs.state_dict(), config)
    assert open_checkpoint(folder).config.id2label[4] == "LABEL_4"


@pytest.mark.parametrize(
    "make",
    [
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {"state_dict": tensors, "epoch": 3, "arch": "mobilevit_xxs"},
        lambda tensors: {"state_dict": {}, "state_dict_ema": tensors, "metric": 0.9},
        lambda tensors: {f"timm_model.{name}": tensor for name, tensor in tensors.items()},
    ],
    ids=["data-parallel", "checkpoint", "averaged", "transformers' wrapper"],
)
def test_however_it_was_saved(make: Any, xxs: Any, tmp_path: Path) -> None:
    torch.save(make(xxs.state_dict()), tmp_path / "model_best.pth.tar")
    checkpoint = open_checkpoint(tmp_path / "model_best.pth.tar")
    assert checkpoint.format is Format.TIMM
    assert torch.equal(checkpoint.load().classifier.weight, xxs.head["fc"].weight)  # type: ignore[union-attr]


def test_transformers_wrapper_says_so_in_its_config(xxs: Any, tmp_path: Path) -> None:
    tensors = {f"timm_model.{name}": tensor for name, tensor in xxs.state_dict().items()}
    folder = write_folder(tmp_path / "model", tensors, {**TIMM_CONFIG, "model_type": "timm_wrapper"})
    assert open_checkpoint(folder).format is Format.TIMM


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ("mobilevitv2_100", "is a MobileViTv2 (timm's mobilevitv2_100)"),
        ("resnet50", "is timm's resnet50"),
        (None, "is timm's None"),
    ],
)
def test_another_architecture_is_named(architecture: Any, told: str, xxs: Any, tmp_path: Path) -> None:
    config = {**TIMM_CONFIG, "architecture": architecture}
    folder = write_folder(tmp_path / "model", xxs.state_dict(), config)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert told in caught.value.problem
    assert "mobilevit_xxs, _xs and _s" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "are not mean 0 and one std"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
        ({"crop_mode": "border"}, "crop_mode 'border'"),
        ({"input_size": [3, 256, 320]}, "crop_mode 'center' to 256x320"),
        ({"input_size": 256}, "cannot be used"),
        ({"crop_pct": "all"}, "cannot be used"),
    ],
)
def test_a_pipeline_that_cannot_be_followed_is_refused(
    changes: dict[str, Any], told: str, xxs: Any, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "model", xxs.state_dict(), with_settings(**changes))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert told in caught.value.problem
    assert "config.json" in caught.value.problem


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    changes=st.dictionaries(
        st.sampled_from([*TIMM_CONFIG["pretrained_cfg"], "label_names", "label_descriptions"]), json_values
    )
)
@settings(deadline=None, max_examples=150)
def test_whatever_config_json_holds_is_read_or_refused(xxs: Any, changes: dict[str, Any]) -> None:
    config = with_settings(**changes)
    try:
        recognised = read(Path("model.safetensors"), xxs.state_dict(), config)
    except DeployError:
        return
    assert recognised.config.num_labels == 5


def test_timm_itself_agrees(tmp_path: Path) -> None:
    """Where timm is installed (it wants torchvision); without it, the module trees above stand in."""
    timm = pytest.importorskip("timm")
    published = timm.create_model("mobilevit_xxs", num_classes=5).eval()
    assert published.state_dict().keys() == timm_classifier("xxs").state_dict().keys()
    torch.save(published.state_dict(), tmp_path / "model.pth")
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            open_checkpoint(tmp_path / "model.pth").load()(pixels).logits, published(pixels)
        )
