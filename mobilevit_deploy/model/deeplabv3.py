"""The segmenter: MobileViT with the head of DeepLabV3 (Chen et al., 2017, arXiv 1706.05587).

Modules carry the names of Hugging Face's checkpoints (``segmentation_head.aspp.convs.0.convolution.weight``).

Shape letters: b batch, c channels of the backbone's last stage, a channels of the head, h and w height and
width of a feature map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.layers import ConvLayer
from mobilevit_deploy.model.mobilevit import MobileViTModel
from mobilevit_deploy.model.outputs import SemanticSegmenterOutput
from mobilevit_deploy.model.pretrained import MobileViTPreTrainedModel, initialize

# Of every layer of the pyramid, whatever the backbone's activation is.
_ACTIVATION = "relu"


class AsppPooling(nn.Module):
    """The pyramid's view of the whole picture: its mean, projected and spread over the map again."""

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_1x1 = ConvLayer(in_channels=in_channels, out_channels=out_channels, activation=_ACTIVATION)

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, a, h, w], the same at every place."""
        mean = self.conv_1x1(F.adaptive_avg_pool2d(features, 1))  # [b, a, 1, 1]
        return F.interpolate(mean, size=features.shape[-2:], mode="bilinear", align_corners=False)


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (section 3.3): the map seen at five scales side by side."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        in_channels, out_channels = config.neck_hidden_sizes[-2], config.aspp_out_channels
        self.convs = nn.ModuleList(
            [
                ConvLayer(in_channels=in_channels, out_channels=out_channels, activation=_ACTIVATION),
                *(
                    ConvLayer(
                        in_channels=in_channels,
                        out_channels=out_channels,
                        kernel_size=3,
                        dilation=rate,
                        activation=_ACTIVATION,
                    )
                    for rate in config.atrous_rates
                ),
                AsppPooling(in_channels=in_channels, out_channels=out_channels),
            ]
        )
        self.project = ConvLayer(
            in_channels=len(self.convs) * out_channels, out_channels=out_channels, activation=_ACTIVATION
        )
        self.dropout = nn.Dropout(config.aspp_dropout_prob)

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, a, h, w]."""
        pyramid = torch.cat([conv(features) for conv in self.convs], dim=1)  # [b, 5*a, h, w]
        projected: Tensor = self.dropout(self.project(pyramid))
        return projected


class DeepLabV3(nn.Module):
    """The pyramid, and a classifier of every cell of its map."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        self.aspp = Aspp(config)
        self.dropout = nn.Dropout2d(config.classifier_dropout_prob)
        self.classifier = ConvLayer(
            in_channels=config.aspp_out_channels, out_channels=config.num_labels, bias=True, normalize=False
        )

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> logits [b, num_labels, h, w]."""
        logits: Tensor = self.classifier(self.dropout(self.aspp(features)))
        return logits


class MobileViTForSemanticSegmentation(MobileViTPreTrainedModel):
    """The backbone, without its last 1x1 convolution, and DeepLabV3's head on its last stage."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__(config)
        self.mobilevit = MobileViTModel(config, expand_output=False)
        self.segmentation_head = DeepLabV3(config)
        initialize(self.segmentation_head)

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, output_hidden_states: bool | None = None
    ) -> SemanticSegmenterOutput:
        """Computes the logits of every cell, and the loss if there are labels.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            labels: [b, any height, any width] int64 class numbers; those that equal
                ``config.semantic_loss_ignore_index`` do not count.
            output_hidden_states: whether to return every stage's output; the config says so unless given.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point; or there are labels, and
                the model has a single class or the labels are no masks.
        """
        if labels is not None:
            self._check_labels(labels)
        outputs = self.mobilevit(
            pixel_values, output_hidden_states=self._wants_hidden_states(output_hidden_states)
        )
        logits = self.segmentation_head(outputs.last_hidden_state)  # [b, num_labels, h, w]
        ignored = self.config.semantic_loss_ignore_index
        return SemanticSegmenterOutput(
            loss=None if labels is None else segmentation_loss(logits, labels, ignore_index=ignored),
            logits=logits,
            hidden_states=outputs.hidden_states,
        )

    def _check_labels(self, labels: Tensor) -> None:
        if self.config.num_labels == 1:
            raise ValueError("Segmentation needs at least 2 labels to learn from; the config has 1.")
        if labels.ndim != 3:
            raise ValueError(f"labels must be [batch, height, width], not {list(labels.shape)}.")


def segmentation_loss(logits: Tensor, labels: Tensor, *, ignore_index: int) -> Tensor:
    """The published loss: cross entropy of every pixel of the labels.

    Args:
        logits: [b, num_labels, h, w]; enlarged to the size of the labels.
        labels: [b, height, width] int64 class numbers.
        ignore_index: the class number that does not count. Where nothing else is left, the loss is NaN.
    """
    enlarged = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(enlarged, labels, ignore_index=ignore_index)
