"""The formats that MobileViT's weights are published in, each mapped to Hugging Face's names.

A format is known by its tensors' names. What it does not say of a model is inferred from their shapes
(``shapes.py``), or taken as published and then told in a note.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from mobilevit_deploy.image import MobileViTImageProcessor
    from mobilevit_deploy.model.config import MobileViTConfig

SUPPORTED = (
    "Supported is the first MobileViT (arXiv 2110.02178): Hugging Face's, timm's mobilevit_xxs, _xs and _s, "
    "and ml-cvnets', for classification or with DeepLabV3."
)


class Format(StrEnum):
    """Who saved a checkpoint."""

    HUGGING_FACE = "huggingface"
    TIMM = "timm"
    CVNETS = "ml-cvnets"


@dataclass(frozen=True)
class Recognised:
    """Weights of another format, as Hugging Face would have saved them.

    Attributes:
        config: the architecture, as declared or inferred.
        tensors: by Hugging Face's names.
        preprocessing: of the format; whoever saved the weights may have declared another beside them.
        notes: sentences on what was assumed or left out.
    """

    config: MobileViTConfig
    tensors: dict[str, Tensor]
    preprocessing: MobileViTImageProcessor
    notes: tuple[str, ...]


# Two tensors that every model of a format has: the stem, and the fusion that makes it a MobileViT.
_SIGNS = {
    Format.HUGGING_FACE: ("conv_stem.convolution.weight", "encoder.layer.2.fusion.convolution.weight"),
    Format.TIMM: ("stem.conv.weight", "stages.2.1.conv_fusion.conv.weight"),
    Format.CVNETS: ("conv_1.block.conv.weight", "layer_3.1.fusion.block.conv.weight"),
}

# What the backbone may be called within a model with a head.
_BACKBONES = {Format.HUGGING_FACE: "mobilevit.", Format.TIMM: "", Format.CVNETS: "encoder."}

# Parts of names that only relatives have.
_RELATIVES = {
    "mobilevitv2.": "is a MobileViTv2",
    ".attn.qkv_proj.": "is a MobileViTv2 (timm's)",
    ".pre_norm_attn.": "is a MobileViTv2 (ml-cvnets')",
    "attention.qkv_proj.convolution.": "is a MobileViTv2",
    "ssd_head": "is a detector (SSD)",
}


def recognise(source: str, names: Collection[str]) -> Format:
    """Tells a format by the names of its tensors.

    Args:
        source: where they come from, for messages.
        names: without wrappers' prefixes.

    Raises:
        CheckpointError: they are another model's.
    """
    for part, verdict in _RELATIVES.items():
        if any(part in name for name in names):
            raise unsupported(source, verdict)
    for candidate, signs in _SIGNS.items():
        for backbone in {"", _BACKBONES[candidate]}:
            if all(backbone + sign in names for sign in signs):
                return candidate
    raise unsupported(source, "does not hold the weights of a MobileViT")


def unsupported(source: str, verdict: str) -> CheckpointError:
    """An error about another model's checkpoint."""
    return CheckpointError(f"'{source}' {verdict}.", remedy=SUPPORTED)
