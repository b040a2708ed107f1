"""Checkpoints go to and from Hugging Face's layout without loss, and what does not fit is refused by name."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mobilevit_deploy.errors import CheckpointError, OutputError, UsageError
from mobilevit_deploy.image import MobileViTImageProcessor
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
    MobileViTModel,
    checkpoint,
)
from mobilevit_deploy.model.checkpoint import open_checkpoint
from mobilevit_deploy.model.formats import Format
from mobilevit_deploy.task import Task

MakeModel = Callable[..., Any]
Edit = Callable[[dict[str, Tensor]], object]


@pytest.fixture(scope="module")
def model(make_model: MakeModel, tiny: MobileViTConfig) -> MobileViTForImageClassification:
    trained: MobileViTForImageClassification = make_model(tiny)
    return trained


@pytest.fixture
def folder(model: MobileViTForImageClassification, tmp_path: Path) -> Path:
    """A good checkpoint, to be damaged."""
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def edit_weights(folder: Path) -> Callable[[Edit], Path]:
    """Changes the tensors of the good checkpoint on disk."""

    def change(edit: Edit) -> Path:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return change


@pytest.fixture
def writable_again(tmp_path: Path) -> Iterator[None]:
    yield
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)


def refused(source: Path, kind: Any = MobileViTForImageClassification, **arguments: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        kind.from_pretrained(source, **arguments)
    return str(caught.value)


@torch.inference_mode()
def logits(model: Any) -> Tensor:
    torch.manual_seed(1)
    result: Tensor = model(torch.rand(2, 3, 64, 64)).logits
    return result


def test_what_is_saved_is_loaded(model: MobileViTForImageClassification, folder: Path) -> None:
    loaded = MobileViTForImageClassification.from_pretrained(folder)
    assert torch.equal(logits(loaded), logits(model))
    assert loaded.config == model.config.updated(architectures=("MobileViTForImageClassification",))
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_folder_holds_a_config_and_weights_and_nothing_else(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}


def test_transformers_loads_what_is_saved_here(model: MobileViTForImageClassification, folder: Path) -> None:
    theirs, report = transformers.MobileViTForImageClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert torch.equal(logits(theirs.eval()), logits(model))


def test_what_transformers_saves_is_loaded_here(
    model: MobileViTForImageClassification, tmp_path: Path
) -> None:
    theirs = transformers.MobileViTForImageClassification(
        transformers.MobileViTConfig(**model.config.to_dict())
    )
    theirs.load_state_dict(model.state_dict())
    theirs.save_pretrained(tmp_path)
    ours = MobileViTForImageClassification.from_pretrained(tmp_path)
    assert torch.equal(logits(ours), logits(model))
    ours.config.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == json.loads(
        (tmp_path / "config.json").read_text()
    )


def test_a_pickled_state_dict_is_loaded(model: MobileViTForImageClassification, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    assert torch.equal(logits(MobileViTForImageClassification.from_pretrained(folder)), logits(model))


def test_a_weights_file_is_loaded_with_the_config_beside_it(
    model: MobileViTForImageClassification, folder: Path
) -> None:
    (folder / "model.safetensors").rename(folder / "best.safetensors")
    loaded = MobileViTForImageClassification.from_pretrained(str(folder / "best.safetensors"))
    assert torch.equal(logits(loaded), logits(model))


def test_a_config_file_stands_for_its_folder(model: MobileViTForImageClassification, folder: Path) -> None:
    loaded = MobileViTForImageClassification.from_pretrained(folder / "config.json")
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.005), (torch.bfloat16, 0.05)])
def test_compact_weights_halve_the_file_and_are_computed_in_float32(
    model: MobileViTForImageClassification, folder: Path, tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    model.save_pretrained(tmp_path / "compact", dtype=dtype)
    stored = load_file(tmp_path / "compact" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype, torch.int64}  # the counters stay whole
    sizes = [(place / "model.safetensors").stat().st_size for place in (tmp_path / "compact", folder)]
    assert sizes[0] < 0.75 * sizes[1]  # names weigh more than weights in a model this small
    loaded = MobileViTForImageClassification.from_pretrained(tmp_path / "compact")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    spread = logits(model).max() - logits(model).min()
    assert (logits(loaded) - logits(model)).abs().max() < tolerance * spread


def test_a_dtype_can_be_asked_for(folder: Path) -> None:
    loaded = MobileViTForImageClassification.from_pretrained(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}


@torch.inference_mode()
def test_a_backbone_is_loaded_from_a_classifier(model: MobileViTForImageClassification, folder: Path) -> None:
    pixel_values = torch.rand(1, 3, 64, 64)
    whole, bare = (
        MobileViTModel.from_pretrained(folder),
        MobileViTModel.from_pretrained(folder, expand_output=False),
    )
    expected = model.mobilevit(pixel_values, output_hidden_states=True)
    assert torch.equal(whole(pixel_values).pooler_output, expected.pooler_output)
    assert torch.equal(bare(pixel_values).last_hidden_state, expected.hidden_states[-1])


def test_a_saved_backbone_is_loaded_here_and_there(folder: Path, tmp_path: Path) -> None:
    backbone = MobileViTModel.from_pretrained(folder)
    backbone.save_pretrained(tmp_path / "backbone")
    for kind in (MobileViTModel, transformers.MobileViTModel):
        loaded = kind.from_pretrained(tmp_path / "backbone").state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in backbone.state_dict().items())


def test_missing_step_counters_do_not_matter(
    model: MobileViTForImageClassification, edit_weights: Callable[[Edit], Path]
) -> None:
    def drop(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.endswith("num_batches_tracked")]:
            del tensors[name]

    loaded = MobileViTForImageClassification.from_pretrained(edit_weights(drop))
    assert torch.equal(logits(loaded), logits(model))
    assert not any(counter.any() for name, counter in loaded.named_buffers() if name.endswith("_tracked"))


def test_a_loaded_model_outlives_its_file(model: MobileViTForImageClassification, folder: Path) -> None:
    loaded = MobileViTForImageClassification.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"")
    assert torch.equal(logits(loaded), logits(model))


def test_a_missing_tensor_is_named(edit_weights: Callable[[Edit], Path]) -> None:
    message = refused(edit_weights(lambda tensors: tensors.pop("classifier.bias")))
    assert "missing: classifier.bias" in message
    assert "model.safetensors" in message


def test_an_unexpected_tensor_is_named(edit_weights: Callable[[Edit], Path]) -> None:
    message = refused(edit_weights(lambda tensors: tensors.update(surplus=torch.zeros(1))))
    assert "unexpected: surplus" in message


def test_a_config_that_disagrees_names_tensors_and_both_shapes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_sizes": [8, 12, 20]}))
    message = refused(folder)
    assert "misshapen: mobilevit.encoder.layer.4.conv_1x1.convolution.weight is [16, 8, 1, 1]" in message
    assert "should be [20, 8, 1, 1]" in message
    assert " more" in message  # not a screenful
    assert "from the same model" in message


def test_labels_that_disagree_name_the_classifier(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "classifier.weight is [3, 16] and should be [2, 16]" in refused(folder)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("classifier.weight", float("nan"), "NaN"),
        ("mobilevit.conv_stem.convolution.weight", float("inf"), "infinite values"),
        ("mobilevit.conv_stem.normalization.running_var", -1.0, "negative variances"),
    ],
)
def test_broken_numbers_are_named(
    edit_weights: Callable[[Edit], Path], name: str, value: float, fault: str
) -> None:
    message = refused(edit_weights(lambda tensors: tensors[name].view(-1)[0].fill_(value)))
    assert name in message
    assert fault in message


def test_quantised_weights_are_refused(edit_weights: Callable[[Edit], Path]) -> None:
    message = refused(
        edit_weights(lambda tensors: tensors.update({"classifier.weight": torch.ones(3, 16).char()}))
    )
    assert "stores classifier.weight as torch.int8" in message


def test_a_segmentation_checkpoint_says_what_it_is(tiny: MobileViTConfig, tmp_path: Path) -> None:
    config = transformers.MobileViTConfig(**tiny.to_dict())
    transformers.MobileViTForSemanticSegmentation(config).save_pretrained(tmp_path)
    message = refused(tmp_path)
    assert "missing: mobilevit.conv_1x1_exp.convolution.weight" in message
    assert "This is a segmentation checkpoint" in message
    assert "expand_output=False" in refused(tmp_path, MobileViTModel)
    MobileViTModel.from_pretrained(tmp_path, expand_output=False)


def test_a_backbone_says_that_it_has_no_classifier(folder: Path, tmp_path: Path) -> None:
    MobileViTModel.from_pretrained(folder).save_pretrained(tmp_path / "backbone")
    assert "This is a backbone without a head" in refused(tmp_path / "backbone")


def test_a_config_beside_weights_of_another_format_says_so(folder: Path) -> None:
    save_file({"stem.conv.weight": torch.zeros(16, 3, 3, 3)}, folder / "model.safetensors")
    for kind in (MobileViTForImageClassification, MobileViTModel):
        assert "pass the weights file alone" in refused(folder, kind)


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "holds neither model.safetensors nor pytorch_model.bin" in refused(folder)


def test_a_damaged_config_asks_for_no_memory(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    huge = {"hidden_sizes": [4096] * 3, "neck_hidden_sizes": [4096] * 7, "mlp_ratio": 32, "expand_ratio": 32}
    (folder / "config.json").write_text(json.dumps({**config, **huge}))
    assert "misshapen" in refused(folder)  # 100 GB, had it been allocated


@pytest.mark.parametrize("kind", [MobileViTConfig, MobileViTForImageClassification])
def test_another_models_config_is_refused(kind: Any, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mobilevitv2"}')
    assert "only 'mobilevit'" in refused(folder, kind)


def test_broken_weights_are_not_saved(make_model: MakeModel, tiny: MobileViTConfig, tmp_path: Path) -> None:
    model = make_model(tiny)
    with torch.no_grad():
        model.classifier.weight[0, 0] = 1e6
    with pytest.raises(CheckpointError, match=r"too large for torch\.float16, in classifier\.weight"):
        model.save_pretrained(tmp_path / "compact", dtype=torch.float16)
    assert not (tmp_path / "compact").exists()


def test_a_full_disk_leaves_the_old_checkpoint_whole(
    make_model: MakeModel, tiny: MobileViTConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(self: Path, text: str, encoding: str) -> None:
        self.write_bytes(text[:10].encode())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    other = make_model(tiny.updated(num_labels=7))
    monkeypatch.setattr(Path, "write_text", full)  # the weights are written by then, the config is not
    with pytest.raises(OutputError, match="No space left on device"):
        other.save_pretrained(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(
    model: MobileViTForImageClassification, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        model.save_pretrained(tmp_path / "file" / "checkpoint")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.usefixtures("writable_again")
def test_missing_rights_are_named(model: MobileViTForImageClassification, folder: Path) -> None:
    (folder / "model.safetensors").chmod(0)
    assert "Permission denied" in refused(folder)
    folder.chmod(0o555)
    with pytest.raises(OutputError, match="Permission denied"):
        model.save_pretrained(folder)


def test_saving_over_a_checkpoint_replaces_it(
    make_model: MakeModel, tiny: MobileViTConfig, folder: Path
) -> None:
    other = make_model(tiny.updated(num_labels=7))
    other.save_pretrained(folder)
    assert torch.equal(logits(MobileViTForImageClassification.from_pretrained(folder)), logits(other))


def test_a_moved_checkpoint_still_loads(
    model: MobileViTForImageClassification, folder: Path, tmp_path: Path
) -> None:
    shutil.move(folder, tmp_path / "a folder, elsewhere")
    loaded = MobileViTForImageClassification.from_pretrained(tmp_path / "a folder, elsewhere")
    assert torch.equal(logits(loaded), logits(model))


def test_a_folder_opens_with_all_that_it_declares(folder: Path) -> None:
    MobileViTImageProcessor(size=99, do_flip_channel_order=False).save_pretrained(folder)
    opened = open_checkpoint(folder)
    assert opened.name == "checkpoint"
    assert opened.format is Format.HUGGING_FACE
    assert opened.task is Task.CLASSIFICATION
    assert opened.weights == folder / "model.safetensors"
    assert opened.notes == ("The classes have no names; a file of labels gives them.",)
    assert opened.require_preprocessing().size == {"shortest_edge": 99}
    assert isinstance(opened.load(), MobileViTForImageClassification)


def test_preprocessing_that_is_not_declared_is_not_made_up(folder: Path) -> None:
    opened = open_checkpoint(folder, channel_order="bgr")
    assert opened.preprocessing is None
    with pytest.raises(CheckpointError, match="must not be guessed"):
        opened.require_preprocessing()


@pytest.mark.parametrize("order", ["rgb", "RGB", "bgr"])
def test_the_channel_order_can_be_declared_anew(order: str, folder: Path) -> None:
    MobileViTImageProcessor(size=99, resample=2).save_pretrained(folder)
    processor = open_checkpoint(folder, channel_order=order).require_preprocessing()
    assert processor.do_flip_channel_order is (order == "bgr")
    assert (processor.size, processor.resample) == ({"shortest_edge": 99}, 2)
    with pytest.raises(UsageError, match="no channel order 'gbr'"):
        open_checkpoint(folder, channel_order="gbr")


def test_labels_can_be_given(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\ncow\n")
    opened = open_checkpoint(folder, labels=tmp_path / "labels.txt")
    config = opened.config
    assert opened.notes == ()
    assert config.id2label == {0: "cat", 1: "dog", 2: "cow"}
    assert config.label2id["cow"] == 2
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(CheckpointError, match="names 2 classes, and the model has 3"):
        open_checkpoint(folder, labels=tmp_path / "labels.txt")


@pytest.mark.parametrize("architectures", [["MobileViTForSemanticSegmentation"], None])
def test_a_segmenter_is_told_by_its_config_or_else_by_its_tensors(
    architectures: list[str] | None, tiny: MobileViTConfig, tmp_path: Path
) -> None:
    MobileViTForSemanticSegmentation(tiny).save_pretrained(tmp_path)
    config = {**json.loads((tmp_path / "config.json").read_text()), "architectures": architectures}
    (tmp_path / "config.json").write_text(json.dumps(config))
    opened = open_checkpoint(tmp_path)
    assert opened.task is Task.SEGMENTATION
    assert isinstance(opened.load(), MobileViTForSemanticSegmentation)


def test_each_class_names_the_other_where_it_fits(
    folder: Path, tiny: MobileViTConfig, tmp_path: Path
) -> None:
    message = refused(folder, MobileViTForSemanticSegmentation)
    assert "classification checkpoint; load it as MobileViTForImageClassification" in message
    MobileViTForSemanticSegmentation(tiny).save_pretrained(tmp_path / "segmenter")
    message = refused(tmp_path / "segmenter", MobileViTForImageClassification)
    assert "segmentation checkpoint; load it as MobileViTForSemanticSegmentation" in message


@pytest.mark.parametrize("name", ["trained.ckpt", "trained.pth"])
def test_a_training_checkpoint_is_loaded_with_the_config_beside_it(
    name: str, model: MobileViTForImageClassification, folder: Path
) -> None:
    tensors = {f"model.module.{key}": tensor for key, tensor in model.state_dict().items()}
    last = {key: tensor * 2 for key, tensor in tensors.items()}
    torch.save({"epoch": 9, "state_dict": last, "state_dict_ema": tensors}, folder / name)
    opened = open_checkpoint(folder / name)
    assert opened.name == "trained"
    assert torch.equal(logits(opened.load()), logits(model))
    assert "EMA" in opened.notes[0]
    doubled = open_checkpoint(folder / name, ema=False).load().state_dict()
    assert torch.equal(doubled["classifier.weight"], 2 * model.classifier.weight)


def test_half_and_single_precision_may_be_mixed(
    model: MobileViTForImageClassification, edit_weights: Callable[[Edit], Path]
) -> None:
    loaded = MobileViTForImageClassification.from_pretrained(
        edit_weights(lambda tensors: tensors.update({"classifier.weight": model.classifier.weight.half()}))
    )
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_a_mobilevitv2_is_told_what_is_supported(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mobilevitv2"}')
    message = refused(folder)
    assert "is of a MobileViTv2" in message
    assert "Supported is the first MobileViT" in message
    tensors = {"mobilevitv2.conv_stem.convolution.weight": torch.zeros(16, 3, 3, 3)}
    save_file(tensors, tmp_path / "weights.safetensors")
    assert "is a MobileViTv2" in refused(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("names", [["features.0.weight"], ["stem.conv.weight"], ["conv_1.block.conv.weight"]])
def test_weights_of_another_model_are_refused(names: list[str], tmp_path: Path) -> None:
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "resnet50.safetensors")
    message = refused(tmp_path / "resnet50.safetensors")
    assert "'resnet50.safetensors'" in message.replace(f"{tmp_path}/", "")
    assert "does not hold the weights of a MobileViT" in message


def test_hugging_faces_weights_alone_want_their_config(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.safetensors", tmp_path)
    assert "There is no config.json" in refused(tmp_path / "model.safetensors")
    assert "There is no config.json" in refused(tmp_path)


def test_a_checkpoint_of_the_hub_has_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "resolve_checkpoint", lambda _: folder)
    assert open_checkpoint("apple/mobilevit-xx-small").name == "mobilevit-xx-small"


def test_what_is_saved_is_opened_again(folder: Path, tmp_path: Path) -> None:
    MobileViTImageProcessor(size=99).save_pretrained(folder)
    open_checkpoint(folder, channel_order="rgb").save(tmp_path / "copy")
    copied = open_checkpoint(tmp_path / "copy")
    assert copied.require_preprocessing().to_dict() == {
        **open_checkpoint(folder).require_preprocessing().to_dict(),
        "do_flip_channel_order": False,
    }
    assert torch.equal(logits(copied.load()), logits(open_checkpoint(folder).load()))
