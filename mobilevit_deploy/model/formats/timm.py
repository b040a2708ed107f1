"""timm's ``mobilevit_xxs``, ``_xs`` and ``_s``: names, config.json and preprocessing (timm 1.0)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.formats import Recognised, unsupported
from mobilevit_deploy.model.formats.renaming import Tree, renamed
from mobilevit_deploy.model.formats.shapes import infer_config

if TYPE_CHECKING:
    from torch import Tensor

    from mobilevit_deploy.image import MobileViTImageProcessor

_CONV: Tree = {r"conv\.": ("convolution.", None), r"bn\.": ("normalization.", None)}

_INVERTED_RESIDUAL: Tree = {
    r"conv1_1x1\.": ("expand_1x1.", _CONV),
    r"conv2_kxk\.": ("conv_3x3.", _CONV),
    r"conv3_1x1\.": ("reduce_1x1.", _CONV),
}

_TRANSFORMER_LAYER: Tree = {
    r"norm1\.": ("layernorm_before.", None),
    r"attn\.qkv\.": ("attention.attention.qkv.", None),
    r"attn\.proj\.": ("attention.output.dense.", None),
    r"norm2\.": ("layernorm_after.", None),
    r"mlp\.fc1\.": ("intermediate.dense.", None),
    r"mlp\.fc2\.": ("output.dense.", None),
}

_BLOCK: Tree = {
    r"conv_kxk\.": ("conv_kxk.", _CONV),
    r"conv_1x1\.": ("conv_1x1.convolution.", None),
    r"transformer\.(\d+)\.": (r"transformer.layer.\1.", _TRANSFORMER_LAYER),
    r"norm\.": ("layernorm.", None),
    r"conv_proj\.": ("conv_projection.", _CONV),
    r"conv_fusion\.": ("fusion.", _CONV),
}

TREE: Tree = {
    r"stem\.": ("conv_stem.", _CONV),
    r"stages\.([01])\.(\d+)\.": (r"encoder.layer.\1.layer.\2.", _INVERTED_RESIDUAL),
    r"stages\.([234])\.0\.": (r"encoder.layer.\1.downsampling_layer.", _INVERTED_RESIDUAL),
    r"stages\.([234])\.1\.": (r"encoder.layer.\1.", _BLOCK),
    r"final_conv\.": ("conv_1x1_exp.", _CONV),
    r"head\.fc\.": ("classifier.", None),
}

# timm's ``pretrained_cfg`` of all three, for weights that come without one.
_PUBLISHED = {
    "input_size": (3, 256, 256),
    "crop_pct": 0.9,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}

# Pillow's filters by timm's names, as Pillow numbers them.
_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


def is_timm_config(declared: Mapping[str, Any]) -> bool:
    """Whether this is the content of a config.json of timm's, or of transformers' wrapper around it."""
    return "architecture" in declared and declared.get("model_type") in (None, "timm_wrapper")


def read(file: Path, tensors: Mapping[str, Tensor], declared: Mapping[str, Any] | None) -> Recognised:
    """Maps a state dict of timm's.

    Args:
        file: where it comes from, for messages.
        tensors: by timm's names.
        declared: the content of timm's config.json, if there is one.

    Raises:
        CheckpointError: they are of another model, or config.json makes no sense.
    """
    if declared is not None:
        check_architecture(file.parent, declared)
    found, _ = renamed(str(file), tensors, TREE)
    config = infer_config(str(file), {name: tensor.shape for name, tensor in found.items()})
    pipeline = {**_PUBLISHED, **_pretrained_config(declared or {})}
    try:
        labels = _labels(declared or {}, config.num_labels)
        preprocessing = _preprocessing(pipeline)
        height, width = pipeline["input_size"][1:]
        config = config.updated(image_size=height if height == width else (height, width), **labels)
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"'{file.parent / 'config.json'}' cannot be used: {error}",
            remedy="Correct the field, or write a preprocessor_config.json beside it.",
        ) from error
    notes = ["Channel order RGB: timm feeds its models so."]
    if declared is None:
        notes.append(
            "Preprocessing as timm publishes it for MobileViT: resize to 284, bicubic, and crop 256x256."
        )
    return Recognised(config, found, preprocessing, tuple(notes))


def check_architecture(folder: Path, declared: Mapping[str, Any]) -> None:
    """Refuses a config.json of timm's that names another model.

    Raises:
        CheckpointError: it does.
    """
    architecture = str(declared["architecture"])
    if architecture.startswith("mobilevitv2"):
        raise unsupported(str(folder), f"is a MobileViTv2 (timm's {architecture})")
    if architecture.split(".", maxsplit=1)[0] not in ("mobilevit_xxs", "mobilevit_xs", "mobilevit_s"):
        raise unsupported(str(folder), f"is timm's {architecture}")


def _pretrained_config(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of preprocessing; older ones have it at the top."""
    nested = declared.get("pretrained_cfg")
    settings = nested if isinstance(nested, Mapping) else declared
    return {name: settings[name] for name in _PUBLISHED if settings.get(name) is not None}


def _labels(declared: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The classes' names, if they are told and are as many as the classifier has.

    ``label_names`` may be codes (ImageNet's synsets) that ``label_descriptions`` spells out.
    """
    nested = declared.get("pretrained_cfg")
    settings = {**(nested if isinstance(nested, Mapping) else {}), **declared}
    names = settings.get("label_names")
    if isinstance(names, Mapping):
        names = [names.get(str(i)) for i in range(count)]
    if not names or len(names) != count or None in names:
        return {}
    spelled = settings.get("label_descriptions")
    if not isinstance(spelled, Mapping):
        spelled = {}
    return {"id2label": {i: str(spelled.get(name, name)) for i, name in enumerate(names)}}


def _preprocessing(pipeline: Mapping[str, Any]) -> MobileViTImageProcessor:
    """The evaluation transform: resize to the crop over ``crop_pct``, rounded down; crop; (x - mean)/std."""
    from mobilevit_deploy.image import MobileViTImageProcessor

    mean, std = ([float(value) for value in pipeline[name]] for name in ("mean", "std"))
    if any(mean) or len(set(std)) != 1 or std[0] <= 0:
        raise ValueError(f"mean {mean} and std {std} are not mean 0 and one std for all channels.")
    if pipeline["interpolation"] not in _FILTERS:
        raise ValueError(f"interpolation is {pipeline['interpolation']!r}, not one of {', '.join(_FILTERS)}.")
    height, width = (int(side) for side in pipeline["input_size"][1:])
    before = [math.floor(side / pipeline["crop_pct"]) for side in (height, width)]
    if pipeline["crop_mode"] == "squash":
        size: Any = {"height": before[0], "width": before[1]}
    elif pipeline["crop_mode"] == "center" and height == width:
        size = {"shortest_edge": before[0]}
    else:
        raise ValueError(f"crop_mode {pipeline['crop_mode']!r} to {height}x{width} is not supported.")
    return MobileViTImageProcessor(
        size=size,
        resample=_FILTERS[pipeline["interpolation"]],
        crop_size={"height": height, "width": width},
        rescale_factor=1 / 255 / std[0],
        do_flip_channel_order=False,
    )
