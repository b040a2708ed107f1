"""The architecture of a MobileViT, as Hugging Face's config.json spells it.

Needs no torch, so that the command line can look at a checkpoint without loading it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from mobilevit_deploy.model.fields import (
    boolean,
    checked,
    ids_by_label,
    integer,
    integer_or_pair,
    integers,
    labels_by_id,
    names,
    number,
    odd,
    one_of,
    one_of_type,
)
from mobilevit_deploy.task import Task

CONFIG_NAME = "config.json"
MODEL_TYPE = "mobilevit"
ACTIVATIONS = ("silu", "swish", "relu", "relu6", "gelu", "hardswish")
OUTPUT_STRIDES = (8, 16, 32)
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

# Far beyond any published MobileViT (240 wide, 640 out, 1,000 labels), and small enough that a damaged
# config.json is refused before it asks for more memory than the machine has.
MAX_WIDTH = 4096
MAX_SIDE = 16_384
MAX_LABELS = 100_000
MAX_RATIO = 32.0

# The default of num_labels: as many as id2label names.
_COUNT_ID2LABEL = -1

# The three sizes of the paper (arXiv 2110.02178, table 4), with the published dropout of each.
_PRESETS: dict[str, dict[str, Any]] = {
    "xxs": {
        "hidden_sizes": (64, 80, 96),
        "neck_hidden_sizes": (16, 16, 24, 48, 64, 80, 320),
        "expand_ratio": 2.0,
        "hidden_dropout_prob": 0.05,
    },
    "xs": {"hidden_sizes": (96, 120, 144), "neck_hidden_sizes": (16, 32, 48, 64, 80, 96, 384)},
    "s": {"hidden_sizes": (144, 192, 240), "neck_hidden_sizes": (16, 32, 64, 96, 128, 160, 640)},
}


@dataclass(kw_only=True, frozen=True)
class MobileViTConfig:
    """Architecture of a MobileViT, with the fields and defaults of the published one (MobileViT-S).

    ``from_dict`` keeps what it does not know, and ``to_dict`` gives it back: a config.json that was read and
    written holds the same keys and values. Immutable; ``updated`` makes a changed copy.

    Args:
        num_channels: channels of a picture.
        image_size: side of a picture in pixels, or (height, width); what the checkpoint was trained for. The
            model itself takes any size.
        patch_size: side of the square patches that a transformer sees, in cells of the feature map.
        hidden_sizes: widths of the three transformers.
        neck_hidden_sizes: channels after the stem, each of the five stages, and the last 1x1 convolution.
        num_attention_heads: heads of each self-attention.
        mlp_ratio: widening of the MLP of a transformer layer.
        expand_ratio: widening of an inverted residual.
        hidden_act: name of the activation, one of ``ACTIVATIONS``.
        conv_kernel_size: kernel of the convolutions around a transformer, odd.
        output_stride: pixels to a cell of the last feature map: 32, or 16 or 8 with dilation in its stead.
        hidden_dropout_prob: dropout in the transformers (training only, as all dropout).
        attention_probs_dropout_prob: dropout of the attention's weights.
        classifier_dropout_prob: dropout before the classifier.
        initializer_range: kept for the file's sake; our initialisation does not use it.
        layer_norm_eps: epsilon of LayerNorm.
        qkv_bias: whether query, key and value have a bias.
        aspp_out_channels: width of DeepLabV3's head.
        atrous_rates: its three dilations.
        aspp_dropout_prob: its dropout.
        semantic_loss_ignore_index: the class of a mask that segmentation's loss ignores.
        id2label: names of the classes; ``LABEL_0``, ``LABEL_1``, ... unless given.
        label2id: the inverse; derived unless given.
        num_labels: number of classes; that of ``id2label`` unless given, else 2.
        problem_type: which loss ``labels`` means; ``None`` derives it from the labels.
        output_hidden_states: whether models return every stage's output unless told otherwise.
        architectures: names of the classes that a checkpoint was saved from.

    Raises:
        ValueError: a field that is of the wrong type or range, or fields that contradict each other.
    """

    num_channels: int = checked(3, integer(1, 64))
    image_size: int | tuple[int, int] = checked(256, integer_or_pair(MAX_SIDE))
    patch_size: int = checked(2, integer(1, 64))
    hidden_sizes: tuple[int, ...] = checked((144, 192, 240), integers(3, MAX_WIDTH))
    neck_hidden_sizes: tuple[int, ...] = checked((16, 32, 64, 96, 128, 160, 640), integers(7, MAX_WIDTH))
    num_attention_heads: int = checked(4, integer(1, MAX_WIDTH))
    mlp_ratio: float = checked(2.0, number(0.01, MAX_RATIO))
    expand_ratio: float = checked(4.0, number(0.01, MAX_RATIO))
    hidden_act: str = checked("silu", one_of(*ACTIVATIONS))
    conv_kernel_size: int = checked(3, odd(31))
    output_stride: int = checked(32, one_of(*OUTPUT_STRIDES))
    hidden_dropout_prob: float = checked(0.1, number(0.0, 1.0))
    attention_probs_dropout_prob: float = checked(0.0, number(0.0, 1.0))
    classifier_dropout_prob: float = checked(0.1, number(0.0, 1.0))
    initializer_range: float = checked(0.02, number(0.0, 10.0))
    layer_norm_eps: float = checked(1e-5, number(0.0, 1.0))
    qkv_bias: bool = checked(True, boolean)
    aspp_out_channels: int = checked(256, integer(1, MAX_WIDTH))
    atrous_rates: tuple[int, ...] = checked((6, 12, 18), integers(3, MAX_WIDTH))
    aspp_dropout_prob: float = checked(0.1, number(0.0, 1.0))
    semantic_loss_ignore_index: int = checked(255, integer(-(2**31), 2**31 - 1))

    # Empty, or null in a file, stands for "not given"; __post_init__ fills them in.
    id2label: dict[int, str] = field(default_factory=dict, metadata={"check": labels_by_id})
    label2id: dict[str, int] = field(default_factory=dict, metadata={"check": ids_by_label})
    num_labels: int = checked(_COUNT_ID2LABEL, integer(_COUNT_ID2LABEL, MAX_LABELS))
    problem_type: str | None = checked(None, one_of(None, *PROBLEM_TYPES))
    output_hidden_states: bool = checked(False, boolean)
    architectures: tuple[str, ...] | None = checked(None, names)

    # The file as it was read; a config made in Python counts as read from the published defaults.
    _source: dict[str, Any] = field(
        default_factory=lambda: _published_defaults(),  # noqa: PLW0108 - defined further down
        repr=False,
        compare=False,
    )

    def __post_init__(self) -> None:
        for item in _fields():
            self._set(item.name, item.metadata["check"](item.name, getattr(self, item.name)))
        self._settle_labels()
        self._check_agreement()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _settle_labels(self) -> None:
        if not self.id2label:
            count = 2 if self.num_labels == _COUNT_ID2LABEL else self.num_labels
            self._set("id2label", {i: f"LABEL_{i}" for i in range(count)})
        if self.num_labels not in (_COUNT_ID2LABEL, len(self.id2label)):
            raise ValueError(
                f"num_labels is {self.num_labels}, but id2label names {len(self.id2label)} classes."
            )
        self._set("num_labels", integer(1, MAX_LABELS)("num_labels", len(self.id2label)))
        if not self.label2id:
            self._set("label2id", {label: i for i, label in self.id2label.items()})

    def _check_agreement(self) -> None:
        for i, size in enumerate(self.hidden_sizes):
            if size % self.num_attention_heads:
                raise ValueError(
                    f"hidden_sizes[{i}] is {size}, which is not a multiple of num_attention_heads "
                    f"({self.num_attention_heads})."
                )
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            raise ValueError("problem_type single_label_classification needs at least 2 labels; it has 1.")

    @property
    def task(self) -> Task:
        """What the checkpoint was trained for, by its ``architectures``; classification unless they tell."""
        segments = any("SemanticSegmentation" in name for name in self.architectures or ())
        return Task.SEGMENTATION if segments else Task.CLASSIFICATION

    @property
    def size(self) -> str | None:
        """Which of the paper's three this is: ``xxs``, ``xs`` or ``s``; None if its widths are others."""
        widths = ("hidden_sizes", "neck_hidden_sizes", "expand_ratio")
        mine = [getattr(self, name) for name in widths]
        defaults = {item.name: item.default for item in _fields()}
        for name, preset in _PRESETS.items():
            if mine == [{**defaults, **preset}[width] for width in widths]:
                return name
        return None

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """One of the paper's three sizes: ``xxs``, ``xs`` or ``s``, with any field overridden.

        Raises:
            ValueError: there is no such preset, or an override is out of range.
        """
        if name not in _PRESETS:
            raise ValueError(f"There is no preset {name!r}; there are {', '.join(_PRESETS)}.")
        return cls(**{**_PRESETS[name], **overrides})

    @classmethod
    def from_pretrained(cls, source: str | Path) -> MobileViTConfig:
        """Reads the config of a checkpoint in any supported format: a folder, a file, or a hub id.

        Raises:
            CheckpointError: there is none, or it is no MobileViT's.
            HubError: the hub cannot be reached or has no such model.
        """
        from mobilevit_deploy.model.checkpoint import open_config

        return open_config(source)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes config.json into a folder, made if need be; returns the file's path.

        Raises:
            OutputError: it cannot be written.
        """
        from mobilevit_deploy.output import write_text

        path = Path(folder) / CONFIG_NAME
        write_text(path, self.to_json_string())
        return path

    @classmethod
    def from_dict(cls, source: Mapping[str, Any]) -> Self:
        """Builds a config from the content of a config.json; what it does not know is kept for ``to_dict``.

        Raises:
            ValueError: the content is no MobileViT's, or a field is wrong.
        """
        one_of_type(Mapping, "a JSON object")("a config", source)
        _check_model_type(source)
        known = {item.name for item in _fields()}
        given = {name: value for name, value in source.items() if name in known}
        return cls(**given, _source=dict(source))

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Reads a config.json.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no JSON, or no MobileViT's.
        """
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))

    def to_dict(self) -> dict[str, Any]:
        """The content of a config.json: what was read, with the fields that have changed since."""
        written = dict(self._source)
        read = _fields_of(self._source)
        for item in _fields():
            value = getattr(self, item.name)
            if item.name != "num_labels" and value != read[item.name]:
                written[item.name] = _to_json(value)
        if "num_labels" in written:
            written["num_labels"] = self.num_labels
        return written

    def to_json_string(self) -> str:
        """The text of a config.json."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def updated(self, **changes: Any) -> Self:
        """A copy with some fields changed; new ``num_labels`` or ``id2label`` replace the old classes."""
        if {"num_labels", "id2label"} & changes.keys():
            changes = {"num_labels": _COUNT_ID2LABEL, "id2label": {}, "label2id": {}, **changes}
        return dataclasses.replace(self, **changes)


def _fields() -> list[dataclasses.Field[Any]]:
    return [item for item in dataclasses.fields(MobileViTConfig) if "check" in item.metadata]


def _fields_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """What a config read from ``source`` and left alone holds."""
    config = MobileViTConfig.from_dict(source)
    return {item.name: getattr(config, item.name) for item in _fields()}


def _published_defaults() -> dict[str, Any]:
    """What the published class writes for an untouched config: the architecture, and no labels."""
    architecture = takewhile(lambda item: item.name != "id2label", _fields())
    return {"model_type": MODEL_TYPE, **{item.name: _to_json(item.default) for item in architecture}}


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return value


def _check_model_type(source: Mapping[str, Any]) -> None:
    found = source.get("model_type")
    if found is None and "architecture" in source:
        raise ValueError(f"this is timm's config of {source['architecture']!r}, not Hugging Face's.")
    if found not in (None, MODEL_TYPE):
        raise ValueError(f"model_type is {found!r}; only {MODEL_TYPE!r} (the first MobileViT) is supported.")
