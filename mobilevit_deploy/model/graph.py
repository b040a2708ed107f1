"""Deploy graphs: what targets convert. One tensor in, one tensor out, for one picture.

A ``ClassifierGraph``, a ``SegmenterGraph`` or a ``MaskGraph`` holds the model as its ``.model``; a graph that
takes the picture itself is a ``PictureGraph`` around one of these, its ``.tensor_graph``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.model.classification import MobileViTForImageClassification
from mobilevit_deploy.model.deeplabv3 import MobileViTForSemanticSegmentation
from mobilevit_deploy.model.rewrite import rewrite

if TYPE_CHECKING:
    from mobilevit_deploy.image.spec import PreprocessSpec

Model = MobileViTForImageClassification | MobileViTForSemanticSegmentation

_PICTURE_CHANNELS = 3


def deploy_graph(
    model: Model, rewrites: Sequence[str], *, preprocess: PreprocessSpec | None = None, argmax: bool = False
) -> nn.Module:
    """A copy of ``model`` in evaluation mode, rewritten; ``model`` stays as it is.

    Args:
        model: the reference.
        rewrites: names from ``rewrite.REWRITES``, applied in this order.
        preprocess: unless None, the graph takes the picture itself, and does of this preprocessing what an
            app then need not do: scale and order of the channels. Resizing and cropping stay with the app.
        argmax: segmentation gives class numbers at the input's size instead of logits.

    Returns:
        A module that maps ``pixel_values`` [1, channels, height, width] (float32), or with ``preprocess`` an
        RGB picture [1, height, width, 3] (uint8), to logits [1, classes], logits [1, classes, h, w], or with
        ``argmax`` class numbers [1, height, width] (int32).

    Raises:
        ValueError: there is no rewrite of such a name.
        UsageError: ``argmax`` of a classifier, or a picture for a model of other than three channels.
    """
    graph = _tensor_graph(copy.deepcopy(model), argmax=argmax).eval().requires_grad_(False)
    if preprocess is None:
        rewrite(graph, rewrites)
        return graph
    fold_preprocessing(graph.model, preprocess)
    rewrite(graph, rewrites)
    return PictureGraph(graph).eval()


class ClassifierGraph(nn.Module):
    """Picture classification."""

    def __init__(self, model: MobileViTForImageClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[1, channels, height, width] -> logits [1, classes]."""
        logits: Tensor = self.model(pixel_values, output_hidden_states=False).logits
        return logits


class SegmenterGraph(nn.Module):
    """Segmentation as the model gives it: at the size of its last feature map."""

    def __init__(self, model: MobileViTForSemanticSegmentation) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[1, channels, height, width] -> logits [1, classes, height/stride, width/stride], rounded up."""
        logits: Tensor = self.model(pixel_values, output_hidden_states=False).logits
        return logits


class MaskGraph(SegmenterGraph):
    """Segmentation as an app shows it: a class for each pixel, as the published post-processing finds it."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[1, channels, height, width] -> class numbers [1, height, width], int32."""
        logits = super().forward(pixel_values)
        enlarged = F.interpolate(logits, size=pixel_values.shape[-2:], mode="bilinear", align_corners=False)
        return enlarged.argmax(dim=1).to(torch.int32)


class PictureGraph(nn.Module):
    """Takes the picture as an app has it, so that no app can get scale or channel order wrong.

    Args:
        graph: takes pixel_values [1, 3, height, width] that are RGB grey levels (0..255).
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.tensor_graph = graph  # torch's own GraphModule, which this becomes, keeps something in `graph`

    def forward(self, image: Tensor) -> Tensor:
        """RGB [1, height, width, 3], uint8 -> what ``graph`` gives."""
        result: Tensor = self.tensor_graph(image.float().permute(0, 3, 1, 2))
        return result


@torch.no_grad()
def fold_preprocessing(model: Model, preprocess: PreprocessSpec) -> None:
    """Let a model take RGB grey levels (0..255): moves scale and channel order into its first convolution.

    Exact up to rounding, at the border too (it is padded with zeros, which no scale changes), and free of
    cost at inference. BatchNorm may have been folded into the convolution before, or may be afterwards.

    Raises:
        UsageError: the model does not take three channels.
    """
    if model.config.num_channels != _PICTURE_CHANNELS:
        raise UsageError(
            f"The model takes {model.config.num_channels} channels, and a picture has {_PICTURE_CHANNELS}.",
            remedy="Export it with --input tensor.",
        )
    # The first convolution is the stem's, wherever rewrites have put it.
    stem = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    weight = stem.weight.double() * preprocess.rescale_factor  # [out, in, 3, 3]
    stem.weight.copy_(weight.flip(1) if preprocess.channel_order == "BGR" else weight)


def _tensor_graph(model: Model, *, argmax: bool) -> ClassifierGraph | SegmenterGraph:
    if isinstance(model, MobileViTForSemanticSegmentation):
        return MaskGraph(model) if argmax else SegmenterGraph(model)
    if argmax:
        raise UsageError(
            "A classifier gives one class for the whole picture, and no mask.",
            remedy="Leave out --argmax, or pass a segmentation checkpoint.",
        )
    return ClassifierGraph(model)
