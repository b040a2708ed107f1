"""The architecture of a MobileViT, as Hugging Face's config.json spells it.

Needs no torch, so that the command line can look at a checkpoint without loading it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

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

_Check = Callable[[str, Any], Any]


def _checked(default: Any, check: _Check) -> Any:
    return field(default=default, metadata={"check": check})


def _integer(low: int, high: int) -> _Check:
    def check(name: str, value: Any) -> int:
        # bool is an int to Python, and never one to a person who writes a config.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low:,} to {high:,}, not {value!r}.")
        return value

    return check


def _number(low: float, high: float) -> _Check:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}.")
        return float(value)

    return check


def _integers(length: int, high: int) -> _Check:
    element = _integer(1, high)

    def check(name: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or len(value) != length:
            raise ValueError(f"{name} must be a list of {length} whole numbers, not {value!r}.")
        return tuple(element(f"{name}[{i}]", item) for i, item in enumerate(value))

    return check


def _one_of(*choices: object) -> _Check:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}.")
        return value

    return check


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}.")  # noqa: TRY004 - one kind for configs
    return value


def _side_or_pair(name: str, value: Any) -> int | tuple[int, ...]:
    if isinstance(value, list | tuple):
        return _integers(2, MAX_SIDE)(name, value)  # type: ignore[no-any-return]
    return _integer(1, MAX_SIDE)(name, value)  # type: ignore[no-any-return]


def _odd(name: str, value: Any) -> int:
    if _integer(1, 31)(name, value) % 2 == 0:
        raise ValueError(
            f"{name} must be odd, so that a convolution keeps the size of its map, not {value!r}."
        )
    return int(value)


def _names(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} must be a list of names, not {value!r}.")
    return tuple(value)


def _labels_by_id(name: str, value: Any) -> dict[int, str] | None:
    """JSON knows only string keys: ``{"0": "cat"}`` becomes ``{0: "cat"}``."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must map class numbers to names, not {value!r}.")  # noqa: TRY004
    try:
        labels = {int(key): str(label) for key, label in value.items()}
    except (TypeError, ValueError):
        raise ValueError(f"{name} must have whole numbers for keys, not {list(value)[:3]!r}.") from None
    if sorted(labels) != list(range(len(labels))) or not labels:
        raise ValueError(
            f"{name} must number its classes 0, 1, 2, ... without a gap; it holds {len(labels)}."
        )
    return dict(sorted(labels.items()))


def _ids_by_label(name: str, value: Any) -> dict[str, int] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must map class names to numbers, not {value!r}.")  # noqa: TRY004
    return {
        str(label): _integer(0, MAX_LABELS)(f"{name}[{label!r}]", number) for label, number in value.items()
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
        neck_hidden_sizes: channels after the stem, after each of the five stages, after the last 1x1 convolution.
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

    num_channels: int = _checked(3, _integer(1, 64))
    image_size: int | tuple[int, int] = _checked(256, _side_or_pair)
    patch_size: int = _checked(2, _integer(1, 64))
    hidden_sizes: tuple[int, ...] = _checked((144, 192, 240), _integers(3, MAX_WIDTH))
    neck_hidden_sizes: tuple[int, ...] = _checked((16, 32, 64, 96, 128, 160, 640), _integers(7, MAX_WIDTH))
    num_attention_heads: int = _checked(4, _integer(1, MAX_WIDTH))
    mlp_ratio: float = _checked(2.0, _number(0.01, MAX_RATIO))
    expand_ratio: float = _checked(4.0, _number(0.01, MAX_RATIO))
    hidden_act: str = _checked("silu", _one_of(*ACTIVATIONS))
    conv_kernel_size: int = _checked(3, _odd)
    output_stride: int = _checked(32, _one_of(*OUTPUT_STRIDES))
    hidden_dropout_prob: float = _checked(0.1, _number(0.0, 1.0))
    attention_probs_dropout_prob: float = _checked(0.0, _number(0.0, 1.0))
    classifier_dropout_prob: float = _checked(0.1, _number(0.0, 1.0))
    initializer_range: float = _checked(0.02, _number(0.0, 10.0))
    layer_norm_eps: float = _checked(1e-5, _number(0.0, 1.0))
    qkv_bias: bool = _checked(True, _boolean)
    aspp_out_channels: int = _checked(256, _integer(1, MAX_WIDTH))
    atrous_rates: tuple[int, ...] = _checked((6, 12, 18), _integers(3, MAX_WIDTH))
    aspp_dropout_prob: float = _checked(0.1, _number(0.0, 1.0))
    semantic_loss_ignore_index: int = _checked(255, _integer(-(2**31), 2**31 - 1))

    # `None` only before construction ends: __post_init__ fills in both maps.
    id2label: dict[int, str] = _checked(None, _labels_by_id)
    label2id: dict[str, int] = _checked(None, _ids_by_label)
    num_labels: int = _checked(_COUNT_ID2LABEL, _integer(_COUNT_ID2LABEL, MAX_LABELS))
    problem_type: str | None = _checked(None, _one_of(None, *PROBLEM_TYPES))
    output_hidden_states: bool = _checked(False, _boolean)
    architectures: tuple[str, ...] | None = _checked(None, _names)

    # The file as it was read; a config made in Python counts as read from the published defaults.
    _source: dict[str, Any] = field(default_factory=lambda: _published_defaults(), repr=False, compare=False)

    def __post_init__(self) -> None:
        for item in _fields():
            self._set(item.name, item.metadata["check"](item.name, getattr(self, item.name)))
        self._settle_labels()
        self._check_agreement()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _settle_labels(self) -> None:
        if self.id2label is None:
            count = 2 if self.num_labels == _COUNT_ID2LABEL else self.num_labels
            self._set("id2label", {i: f"LABEL_{i}" for i in range(count)})
        if self.num_labels not in (_COUNT_ID2LABEL, len(self.id2label)):
            raise ValueError(
                f"num_labels is {self.num_labels}, but id2label names {len(self.id2label)} classes."
            )
        self._set("num_labels", _integer(1, MAX_LABELS)("num_labels", len(self.id2label)))
        if self.label2id is None:
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
    def from_dict(cls, source: Mapping[str, Any]) -> Self:
        """Builds a config from the content of a config.json; what it does not know is kept for ``to_dict``.

        Raises:
            ValueError: the content is no MobileViT's, or a field is wrong.
        """
        if not isinstance(source, Mapping):
            raise ValueError(f"a config must be a JSON object, not {type(source).__name__}.")  # noqa: TRY004
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

    def updated(self, **changes: Any) -> Self:
        """A copy with some fields changed; new classes (``num_labels`` or ``id2label``) replace the old maps."""
        if {"num_labels", "id2label"} & changes.keys():
            changes = {"num_labels": _COUNT_ID2LABEL, "id2label": None, "label2id": None, **changes}
        return dataclasses.replace(self, **changes)


def _fields() -> list[dataclasses.Field[Any]]:
    return [item for item in dataclasses.fields(MobileViTConfig) if "check" in item.metadata]


def _fields_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """What a config read from ``source`` and left alone holds."""
    config = MobileViTConfig.from_dict(source)
    return {item.name: getattr(config, item.name) for item in _fields()}


_ARCHITECTURE_ENDS_BEFORE = "id2label"


def _published_defaults() -> dict[str, Any]:
    """What the published class writes for an untouched config: the architecture, and no labels."""
    names = [item.name for item in _fields()]
    architecture = names[: names.index(_ARCHITECTURE_ENDS_BEFORE)]
    defaults = {item.name: _to_json(item.default) for item in _fields() if item.name in architecture}
    return {"model_type": MODEL_TYPE, **defaults}


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return value


def _check_model_type(source: Mapping[str, Any]) -> None:
    found = source.get("model_type")
    if found is None and "architecture" in source:
        raise ValueError(
            f"this is timm's config of {source['architecture']!r}; Hugging Face's layout is supported."
        )
    if found not in (None, MODEL_TYPE):
        raise ValueError(f"model_type is {found!r}; only {MODEL_TYPE!r} (the first MobileViT) is supported.")
