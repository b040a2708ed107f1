"""Infers a model's config from the shapes of its tensors, under Hugging Face's names.

Shapes do not tell the number of heads, the patch size, the output stride, or the dilations of DeepLabV3:
these are as published, and every published MobileViT has 4 heads and patches of 2x2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.formats import unsupported
from mobilevit_deploy.model.formats.renaming import BASE_PREFIX

Shape = Sequence[int]

_BLOCKS = (2, 3, 4)
"""The encoder's layers that are MobileViT blocks; the two before are inverted residuals alone."""

_INVERTED_RESIDUALS = (
    "encoder.layer.0.layer.0.",
    "encoder.layer.1.layer.0.",
    "encoder.layer.1.layer.1.",
    "encoder.layer.1.layer.2.",
    *(f"encoder.layer.{i}.downsampling_layer." for i in _BLOCKS),
)

# ml-cvnets: the last 1x1 convolution widens fourfold, up to a limit. A segmenter does not have it.
_LAST_EXPANSION = 4
_LAST_LIMIT = 960

# The two recipes of ml-cvnets for DeepLabV3 on Pascal VOC, by the width of the head: that of the published
# weights (config/segmentation/deeplabv3_mobilevit_*.yaml), and the later pascal_voc/deeplabv3_mobilevit.yaml.
_DEEPLAB_RECIPES = {256: (16, (6, 12, 18)), 512: (8, (12, 24, 36))}

_ARCHITECTURES = {
    "segmentation_head.classifier.convolution.weight": "MobileViTForSemanticSegmentation",
    "classifier.weight": "MobileViTForImageClassification",
}


def infer_config(source: str, shapes: Mapping[str, Shape]) -> MobileViTConfig:
    """Builds the config of a model.

    Args:
        source: where the tensors come from, for messages.
        shapes: by Hugging Face's names.

    Raises:
        CheckpointError: a tensor is missing, or they are not a MobileViT's.
    """
    backbone = {name.removeprefix(BASE_PREFIX): shape for name, shape in shapes.items()}
    try:
        fields = {**_widths(backbone), **_head(backbone)}
        _check_convolutions(source, backbone)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"'{source}' is incomplete: {error} is missing or of another rank.",
            remedy="Save the whole state dict of the model.",
        ) from error
    try:
        config = MobileViTConfig(**fields)
        return config if config.size is None else MobileViTConfig.preset(config.size, **fields)
    except ValueError as error:
        raise unsupported(source, f"has shapes that no MobileViT has: {str(error).rstrip('.')}") from error


def _widths(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    stem = _dimensions(shapes, "conv_stem.convolution.weight")
    widths = [
        _dimensions(shapes, f"encoder.layer.{i}.layer.0.reduce_1x1.convolution.weight")[0] for i in (0, 1)
    ] + [
        _dimensions(shapes, f"encoder.layer.{i}.downsampling_layer.reduce_1x1.convolution.weight")[0]
        for i in _BLOCKS
    ]
    hidden = [_dimensions(shapes, f"encoder.layer.{i}.conv_1x1.convolution.weight")[0] for i in _BLOCKS]
    mlp = _dimensions(shapes, "encoder.layer.2.transformer.layer.0.intermediate.dense.weight", 2)
    return {
        "num_channels": stem[1],
        "hidden_sizes": hidden,
        "neck_hidden_sizes": [stem[0], *widths, _last_width(shapes, widths[-1])],
        "mlp_ratio": mlp[0] / mlp[1],
        "expand_ratio": _expand_ratio(shapes),
        "conv_kernel_size": _dimensions(shapes, "encoder.layer.2.conv_kxk.convolution.weight")[2],
        "qkv_bias": "encoder.layer.2.transformer.layer.0.attention.attention.query.bias" in shapes,
    }


def _last_width(shapes: Mapping[str, Shape], width: int) -> int:
    name = "conv_1x1_exp.convolution.weight"
    if name in shapes:
        return _dimensions(shapes, name)[0]
    return min(_LAST_EXPANSION * width, _LAST_LIMIT)


def _expand_ratio(shapes: Mapping[str, Shape]) -> float:
    """The one ratio that gives every inverted residual its width, which is rounded to a multiple of 8."""
    from mobilevit_deploy.model.layers import make_divisible

    sizes = [_dimensions(shapes, f"{name}expand_1x1.convolution.weight")[:2] for name in _INVERTED_RESIDUALS]
    ratios = [expanded / width for expanded, width in sizes]
    # Whole numbers first: rounding makes several ratios fit, and people write 2 or 4.
    for ratio in (*sorted({round(ratio) for ratio in ratios}), *ratios):
        if all(make_divisible(round(width * ratio)) == expanded for expanded, width in sizes):
            return float(ratio)
    return ratios[0]


def _head(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The task, its number of labels, and what the published models for it have in common."""
    name = next((name for name in _ARCHITECTURES if name in shapes), None)
    if name is None:
        return {"architectures": ["MobileViTModel"]}
    fields = {"architectures": [_ARCHITECTURES[name]], "num_labels": shapes[name][0]}
    if not name.startswith("segmentation_head."):
        return fields
    width = _dimensions(shapes, "segmentation_head.aspp.project.convolution.weight")[0]
    stride, rates = _DEEPLAB_RECIPES.get(width, _DEEPLAB_RECIPES[256])
    return {
        **fields,
        "image_size": 512,
        "output_stride": stride,
        "aspp_out_channels": width,
        "atrous_rates": rates,
    }


def _check_convolutions(source: str, shapes: Mapping[str, Shape]) -> None:
    """MobileViTv3 keeps the names, and changes two convolutions of the block."""
    local = _dimensions(shapes, "encoder.layer.2.conv_kxk.convolution.weight")
    fusion = _dimensions(shapes, "encoder.layer.2.fusion.convolution.weight")
    if local[1] == 1 < local[0] or fusion[2] < local[2]:
        raise unsupported(source, "has the convolutions of a MobileViTv3 (depthwise, fused by 1x1)")


def _dimensions(shapes: Mapping[str, Shape], name: str, rank: int = 4) -> Shape:
    if len(shapes[name]) != rank:
        raise KeyError(name)
    return shapes[name]
