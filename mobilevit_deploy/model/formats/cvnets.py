"""ml-cvnets' MobileViT, which the paper's authors published: classifiers, and with DeepLabV3 segmenters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.formats import Recognised, unsupported
from mobilevit_deploy.model.formats.renaming import Tree, renamed
from mobilevit_deploy.model.formats.shapes import infer_config
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from mobilevit_deploy.image import MobileViTImageProcessor

_CONV: Tree = {r"block\.conv\.": ("convolution.", None), r"block\.norm\.": ("normalization.", None)}

_INVERTED_RESIDUAL: Tree = {
    r"block\.exp_1x1\.": ("expand_1x1.", _CONV),
    r"block\.conv_3x3\.": ("conv_3x3.", _CONV),
    r"block\.red_1x1\.": ("reduce_1x1.", _CONV),
}

_TRANSFORMER_LAYER: Tree = {
    r"pre_norm_mha\.0\.": ("layernorm_before.", None),
    r"pre_norm_mha\.1\.qkv_proj\.": ("attention.attention.qkv.", None),
    r"pre_norm_mha\.1\.out_proj\.": ("attention.output.dense.", None),
    r"pre_norm_ffn\.0\.": ("layernorm_after.", None),
    r"pre_norm_ffn\.1\.": ("intermediate.dense.", None),
    r"pre_norm_ffn\.4\.": ("output.dense.", None),
}

_BLOCK: Tree = {
    r"local_rep\.conv_3x3\.": ("conv_kxk.", _CONV),
    r"local_rep\.conv_1x1\.": ("conv_1x1.", _CONV),
    r"global_rep\.(\d+)\.(?=pre_norm)": (r"transformer.layer.\1.", _TRANSFORMER_LAYER),
    r"global_rep\.\d+\.": ("layernorm.", None),  # the last of the sequence
    r"conv_proj\.": ("conv_projection.", _CONV),
    r"fusion\.": ("fusion.", _CONV),
}

_HEAD: Tree = {
    r"aspp\.aspp_layer\.convs\.([0-3])\.": (r"aspp.convs.\1.", _CONV),
    r"aspp\.aspp_layer\.convs\.4\.aspp_pool\.conv_1x1\.": ("aspp.convs.4.conv_1x1.", _CONV),
    r"aspp\.aspp_layer\.project\.": ("aspp.project.", _CONV),
    # The first version put the classifier into a sequence, after its dropout.
    r"classifier\.(?:classifier\.)?": ("classifier.", _CONV),
}

_BACKBONE: Tree = {
    r"conv_1\.": ("conv_stem.", _CONV),
    **{rf"layer_{i + 1}\.(\d+)\.": (rf"encoder.layer.{i}.layer.\1.", _INVERTED_RESIDUAL) for i in (0, 1)},
    **{
        rf"layer_{i + 1}\.0\.": (f"encoder.layer.{i}.downsampling_layer.", _INVERTED_RESIDUAL)
        for i in (2, 3, 4)
    },
    **{rf"layer_{i + 1}\.1\.": (f"encoder.layer.{i}.", _BLOCK) for i in (2, 3, 4)},
    r"conv_1x1_exp\.": ("conv_1x1_exp.", _CONV),
}

TREE: Tree = {
    r"classifier\.fc\.": ("classifier.", None),
    r"seg_head\.": ("segmentation_head.", _HEAD),
    r"(?:encoder\.)?": ("", _BACKBONE),
}

# Training's second loss looks at the fourth stage through a head of its own.
_UNUSED = ("seg_head.aux_head.",)

_SHORTEST_EDGE_MARGIN = 32
"""Pixels that the published recipe resizes beyond the crop: 288 for 256, 544 for 512."""


def read(file: Path, tensors: Mapping[str, Tensor]) -> Recognised:
    """Maps a state dict of ml-cvnets'.

    Args:
        file: where it comes from, for messages.
        tensors: by ml-cvnets' names.

    Raises:
        CheckpointError: they are of another model.
    """
    segmenter = any(name.startswith("seg_head.") for name in tensors)
    if segmenter and not any(name.startswith("seg_head.aspp.") for name in tensors):
        raise unsupported(str(file), "is a segmenter with another head than DeepLabV3's")
    # A segmenter's classifier and last convolution are leftovers of its pre-training, where they are there.
    leftovers = ("encoder.conv_1x1_exp.", "encoder.classifier.") if segmenter else ()
    found, dropped = renamed(str(file), tensors, TREE, unused=(*_UNUSED, *leftovers))
    config = infer_config(str(file), {name: tensor.shape for name, tensor in found.items()})
    notes = [
        "Channel order BGR, as the published weights expect; later releases of ml-cvnets train on RGB.",
        *_assumptions(config),
    ]
    if dropped:
        parts = sorted({".".join(name.split(".")[:2]) for name in dropped})
        notes.append(f"Left out {len(dropped)} tensors that play no part in inference: {', '.join(parts)}.")
    return Recognised(config, found, _preprocessing(config), tuple(notes))


def _assumptions(config: MobileViTConfig) -> list[str]:
    if config.task is not Task.SEGMENTATION:
        return []
    rates = ", ".join(map(str, config.atrous_rates))
    published = f"as published for a head of {config.aspp_out_channels} channels; the file does not tell"
    return [f"Output stride {config.output_stride} and atrous rates {rates}, {published}."]


def _preprocessing(config: MobileViTConfig) -> MobileViTImageProcessor:
    from mobilevit_deploy.image import MobileViTImageProcessor

    assert isinstance(config.image_size, int)  # as inferred
    return MobileViTImageProcessor(
        size={"shortest_edge": config.image_size + _SHORTEST_EDGE_MARGIN},
        resample=2,  # bilinear
        crop_size=config.image_size,
        do_flip_channel_order=True,
    )
