"""A config has the published fields, refuses nonsense, and gives back the file that it was read from."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.errors import CheckpointError, OutputError
from mobilevit_deploy.model import MobileViTConfig
from mobilevit_deploy.task import Task

# What lies on the hub: written by an old transformers, with classes, and with fields that nobody here knows.
HUB_FILE = {
    "architectures": ["MobileViTForImageClassification"],
    "aspp_dropout_prob": 0.1,
    "aspp_out_channels": 256,
    "atrous_rates": [6, 12, 18],
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout_prob": 0.1,
    "conv_kernel_size": 3,
    "expand_ratio": 2.0,
    "hidden_act": "silu",
    "hidden_dropout_prob": 0.05,
    "hidden_sizes": [64, 80, 96],
    "id2label": {"0": "tench, Tinca tinca", "1": "goldfish, Carassius auratus", "2": "great white shark"},
    "image_size": 256,
    "initializer_range": 0.02,
    "label2id": {"tench, Tinca tinca": 0, "goldfish, Carassius auratus": 1, "great white shark": 2},
    "layer_norm_eps": 1e-05,
    "mlp_ratio": 2.0,
    "model_type": "mobilevit",
    "neck_hidden_sizes": [16, 16, 24, 48, 64, 80, 320],
    "num_attention_heads": 4,
    "num_channels": 3,
    "output_stride": 32,
    "patch_size": 2,
    "qkv_bias": True,
    "semantic_loss_ignore_index": 255,
    "torch_dtype": "float32",
    "transformers_version": "4.20.0.dev0",
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_defaults_are_the_published_ones() -> None:
    published = transformers.MobileViTConfig()
    ours = MobileViTConfig()
    for name in transformers.MobileViTConfig().to_diff_dict().keys() - {"model_type", "transformers_version"}:
        assert getattr(ours, name) == getattr(published, name), name
    assert ours.id2label == published.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert ours.label2id == published.label2id
    assert ours.num_labels == published.num_labels == 2
    assert ours.problem_type is None
    assert ours.output_hidden_states is False


def test_presets_are_the_sizes_of_the_paper() -> None:
    xxs, xs, s = (MobileViTConfig.preset(name) for name in ("xxs", "xs", "s"))
    assert xxs.hidden_sizes == (64, 80, 96)
    assert xxs.neck_hidden_sizes == (16, 16, 24, 48, 64, 80, 320)
    assert (xxs.expand_ratio, xxs.hidden_dropout_prob) == (2.0, 0.05)
    assert xs.hidden_sizes == (96, 120, 144)
    assert xs.neck_hidden_sizes == (16, 32, 48, 64, 80, 96, 384)
    assert s == MobileViTConfig()


def test_a_preset_takes_overrides() -> None:
    config = MobileViTConfig.preset("xs", num_labels=1000, expand_ratio=3)
    assert (config.num_labels, config.expand_ratio, config.hidden_sizes) == (1000, 3.0, (96, 120, 144))


def test_an_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no preset 'xl'; there are xxs, xs, s"):
        MobileViTConfig.preset("xl")


def test_labels_follow_from_their_number_and_the_number_from_labels() -> None:
    assert MobileViTConfig(num_labels=3).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    named = MobileViTConfig(id2label={1: "dog", 0: "cat"})
    assert named.num_labels == 2
    assert named.label2id == {"cat": 0, "dog": 1}
    assert list(named.id2label) == [0, 1]


def test_labels_are_whole_numbers_in_memory_and_strings_in_the_file() -> None:
    config = MobileViTConfig.from_dict({"model_type": "mobilevit", "id2label": {"0": "cat", "1": "dog"}})
    assert config.id2label == {0: "cat", 1: "dog"}
    assert config.updated(id2label={0: "cow"}).to_dict()["id2label"] == {"0": "cow"}


def test_a_changed_copy_keeps_the_rest() -> None:
    config = MobileViTConfig.from_dict(HUB_FILE)
    changed = config.updated(num_labels=5, output_stride=16)
    assert changed.num_labels == len(changed.id2label) == len(changed.label2id) == 5
    assert config.num_labels == 3
    untouched = HUB_FILE.keys() - {"id2label", "label2id", "output_stride"}
    assert {name: changed.to_dict()[name] for name in untouched} == {
        name: HUB_FILE[name] for name in untouched
    }
    assert changed.to_dict()["output_stride"] == 16


@pytest.mark.parametrize(
    "source",
    [
        HUB_FILE,
        {**HUB_FILE, "label2id": None},
        {**HUB_FILE, "image_size": [512, 384], "output_stride": 16, "num_labels": 3},
        {**HUB_FILE, "expand_ratio": 2, "hidden_dropout_prob": 0},
        {"model_type": "mobilevit"},
        {
            "model_type": "mobilevit",
            "output_hidden_states": False,
            "problem_type": None,
            "architectures": None,
        },
        transformers.MobileViTConfig(num_labels=5, problem_type="regression").to_dict(),
        transformers.MobileViTConfig(id2label={0: "a"}, output_hidden_states=True).to_diff_dict(),
    ],
)
def test_a_file_read_and_written_is_the_same(source: dict[str, Any], tmp_path: Path) -> None:
    as_read = json.loads(json.dumps(source))
    written = MobileViTConfig.from_dict(as_read).save_pretrained(tmp_path)
    assert written == tmp_path / "config.json"
    assert json.loads(written.read_text()) == as_read


@given(unknown=st.dictionaries(st.text().map("x_{}".format), json_values))
def test_unknown_fields_are_kept(unknown: dict[str, Any]) -> None:
    source = {**HUB_FILE, **unknown}
    assert json.loads(MobileViTConfig.from_dict(source).to_json_string()) == source


@pytest.mark.parametrize("preset", ["xxs", "xs", "s"])
def test_transformers_reads_what_we_write_and_we_what_it_writes(preset: str, tmp_path: Path) -> None:
    ours = MobileViTConfig.preset(preset, num_labels=12, output_stride=16, problem_type="regression")
    ours.save_pretrained(tmp_path / "ours")
    theirs = transformers.MobileViTConfig.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert MobileViTConfig.from_pretrained(tmp_path / "theirs") == ours


def test_a_config_knows_its_size_and_task() -> None:
    assert [MobileViTConfig.preset(name).size for name in ("xxs", "xs", "s")] == ["xxs", "xs", "s"]
    assert MobileViTConfig.preset("xs", num_labels=7, output_stride=16).size == "xs"
    assert MobileViTConfig.preset("xs", expand_ratio=2.0).size is None
    assert MobileViTConfig().task is Task.CLASSIFICATION
    segmenter = MobileViTConfig(architectures=("MobileViTForSemanticSegmentation",))
    assert segmenter.task is Task.SEGMENTATION


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_sizes": (144, 192, 241)}, r"hidden_sizes\[2\] is 241, .* num_attention_heads \(4\)"),
        ({"num_attention_heads": 0}, "num_attention_heads must be a whole number"),
        ({"num_attention_heads": True}, "num_attention_heads must be a whole number"),
        ({"output_stride": 4}, "output_stride must be one of 8, 16, 32, not 4"),
        ({"hidden_sizes": (144, 192)}, "hidden_sizes must be a list of 3 whole numbers"),
        (
            {"hidden_sizes": "144,192,240"},
            "hidden_sizes must be a list of 3 whole numbers, not '144,192,240'",
        ),
        ({"hidden_sizes": (144, 192.5, 240)}, r"hidden_sizes\[1\] must be a whole number"),
        ({"hidden_sizes": (144, 192, 10**9)}, r"hidden_sizes\[2\] must be a whole number from 1 to 4,096"),
        ({"neck_hidden_sizes": (16, 32, 64)}, "neck_hidden_sizes must be a list of 7"),
        ({"neck_hidden_sizes": (16, 32, 64, 96, 128, -160, 640)}, r"neck_hidden_sizes\[5\]"),
        ({"atrous_rates": (6, 12)}, "atrous_rates must be a list of 3"),
        ({"image_size": "256"}, "image_size must be a whole number"),
        ({"image_size": (256, 256, 3)}, "image_size must be a list of 2"),
        ({"patch_size": 0}, "patch_size must be a whole number"),
        ({"conv_kernel_size": 4}, "conv_kernel_size must be odd"),
        ({"expand_ratio": -4.0}, "expand_ratio must be a number"),
        ({"expand_ratio": float("nan")}, "expand_ratio must be a number"),
        ({"mlp_ratio": "2"}, "mlp_ratio must be a number"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob must be a number from 0 to 1"),
        ({"hidden_act": "softsign"}, "hidden_act must be one of silu, .* not 'softsign'"),
        ({"hidden_act": ["silu"]}, "hidden_act must be one of silu"),
        ({"qkv_bias": 1}, "qkv_bias must be true or false"),
        ({"num_labels": 0}, "num_labels must be a whole number from 1"),
        ({"num_labels": 3, "id2label": {0: "cat"}}, "num_labels is 3, but id2label names 1"),
        ({"id2label": {0: "cat", 2: "dog"}}, "id2label must number its 2 classes 0, 1, 2"),
        ({"id2label": {"cat": 0}}, "id2label must have whole numbers for keys"),
        ({"id2label": ["cat", "dog"]}, "id2label must be a map"),
        ({"label2id": {"cat": "0"}}, r"label2id\['cat'\] must be a whole number"),
        ({"problem_type": "guessing"}, "problem_type must be one of"),
        ({"problem_type": "single_label_classification", "num_labels": 1}, "needs at least 2 labels"),
        ({"architectures": "MobileViTModel"}, "architectures must be a list of names"),
    ],
)
def test_nonsense_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MobileViTConfig(**fields)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"model_type": "mobilevitv2"}, "model_type is 'mobilevitv2'; only 'mobilevit'"),
        ({"architecture": "mobilevit_s", "num_classes": 1000}, "timm's config of 'mobilevit_s'"),
        ([1, 2], "must be a JSON object"),
    ],
)
def test_another_models_file_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MobileViTConfig.from_dict(source)


@pytest.mark.parametrize("text", ["", "{", '{"hidden_sizes": "144"}', "[]", "\ufffe", "[" * 100_000])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-16")
    (tmp_path / "readable").mkdir()
    (tmp_path / "readable" / "config.json").write_text(text, encoding="utf-8")
    for folder in (tmp_path, tmp_path / "readable"):
        with pytest.raises(CheckpointError, match=r"config\.json"):
            MobileViTConfig.from_pretrained(folder)


def test_a_folder_without_a_config_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no config\.json in"):
        MobileViTConfig.from_pretrained(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        MobileViTConfig().save_pretrained(tmp_path / "file")


def test_a_config_survives_copying_and_pickling() -> None:
    config = MobileViTConfig.from_dict({**HUB_FILE, "of": "somebody"})
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert other.to_dict() == config.to_dict()


def test_a_config_cannot_be_changed_behind_a_models_back() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MobileViTConfig().output_stride = 8  # type: ignore[misc]


def test_reading_a_config_imports_no_torch() -> None:
    program = (
        "import sys; from mobilevit_deploy.model import MobileViTConfig; MobileViTConfig().to_json_string();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
