"""MobileViT (Mehta and Rastegari, 2021, arXiv 2110.02178) in plain PyTorch: the definition of right.

Modules carry the names of Hugging Face's checkpoints (``conv_stem.convolution.weight``), so that these load
as they are. Nothing here is written for speed on a phone; that is the work of ``rewrite.py``.

Shape letters: b batch, c channels, h and w height and width of a feature map, p side of a patch, n patches in
a map (h/p * w/p), d hidden size of a transformer.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.layers import ConvLayer, InvertedResidual, Stack, TransformerLayer
from mobilevit_deploy.model.outputs import BackboneOutput
from mobilevit_deploy.model.pretrained import MobileViTPreTrainedModel, initialize

# Transformer layers in the third, fourth and fifth stage: the same in every published size.
TRANSFORMER_DEPTHS = (2, 4, 3)


class MobileViTBlock(nn.Module):
    """The paper's block (section 3.1): halve the map, then fuse it with a transformer's view of all of it.

    The i-th cells of all patches form one sequence: a transformer relates cells at the same place of every
    patch, and the convolutions before it have already mixed the cells within a patch.

    Args:
        config: the architecture.
        in_channels: channels of the incoming map.
        out_channels: channels of the outgoing map.
        hidden_size: width of the transformer.
        depth: its number of layers.
        dilation: 1 halves the map; 2 and more keep its size and dilate the convolution by half of it, as the
            published model does for an output stride of 16 or 8.
    """

    def __init__(
        self,
        config: MobileViTConfig,
        *,
        in_channels: int,
        out_channels: int,
        hidden_size: int,
        depth: int,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.downsampling_layer = InvertedResidual(
            config,
            in_channels=in_channels,
            out_channels=out_channels,
            stride=2 if dilation == 1 else 1,
            dilation=max(dilation // 2, 1),
        )
        self.conv_kxk = ConvLayer(
            in_channels=out_channels,
            out_channels=out_channels,
            kernel_size=config.conv_kernel_size,
            activation=config.hidden_act,
        )
        self.conv_1x1 = ConvLayer(in_channels=out_channels, out_channels=hidden_size, normalize=False)
        self.transformer = Stack(*(TransformerLayer(config, hidden_size=hidden_size) for _ in range(depth)))
        self.layernorm = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.conv_projection = ConvLayer(
            in_channels=hidden_size, out_channels=out_channels, activation=config.hidden_act
        )
        self.fusion = ConvLayer(
            in_channels=2 * out_channels,
            out_channels=out_channels,
            kernel_size=config.conv_kernel_size,
            activation=config.hidden_act,
        )

    def forward(self, features: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h/2, w/2], rounded up; h and w stay if dilated."""
        features = self.downsampling_layer(features)
        local = self.conv_1x1(self.conv_kxk(features))
        projected = self.conv_projection(self._relate_patches(local))
        fused: Tensor = self.fusion(torch.cat((features, projected), dim=1))
        return fused

    def _relate_patches(self, local: Tensor) -> Tensor:
        height, width = local.shape[-2:]
        whole = (_round_up(height, self.patch_size), _round_up(width, self.patch_size))
        fits = whole == (height, width)
        # The published model stretches a map that patches do not tile, and shrinks it back afterwards.
        tiled = local if fits else _resize(local, whole)
        tokens = self.layernorm(self.transformer(self.unfold(tiled)))
        related = self.fold(tokens, *whole)
        return related if fits else _resize(related, (height, width))

    def unfold(self, features: Tensor) -> Tensor:
        """Feature map [b, d, h, w] -> sequences [b*p*p, n, d], one for each place within a patch."""
        b, d, h, w = features.shape
        p = self.patch_size
        cells = features.reshape(b * d, h // p, p, w // p, p)
        cells = cells.permute(0, 2, 4, 1, 3)  # [b*d, p, p, h/p, w/p]
        cells = cells.reshape(b, d, p * p, h // p * (w // p))  # [b, d, p*p, n]
        return cells.permute(0, 2, 3, 1).flatten(0, 1)  # [b*p*p, n, d]

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Inverse of ``unfold``: sequences [b*p*p, n, d] -> feature map [b, d, height, width]."""
        _, n, d = tokens.shape
        p = self.patch_size
        cells = tokens.reshape(-1, p * p, n, d).permute(0, 3, 1, 2)  # [b, d, p*p, n]
        cells = cells.reshape(-1, p, p, height // p, width // p)  # [b*d, p, p, h/p, w/p]
        return cells.permute(0, 3, 1, 4, 2).reshape(-1, d, height, width)


def _round_up(size: int, multiple: int) -> int:
    return math.ceil(size / multiple) * multiple


def _resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """The five stages: two of convolutions, three of MobileViT blocks."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        stem, *widths, _ = config.neck_hidden_sizes
        self.layer = nn.ModuleList(
            [
                _mobilenet_stage(config, in_channels=stem, out_channels=widths[0], stride=1, depth=1),
                _mobilenet_stage(config, in_channels=widths[0], out_channels=widths[1], stride=2, depth=3),
                *(
                    MobileViTBlock(
                        config,
                        in_channels=widths[i + 1],
                        out_channels=widths[i + 2],
                        hidden_size=config.hidden_sizes[i],
                        depth=TRANSFORMER_DEPTHS[i],
                        dilation=dilation,
                    )
                    for i, dilation in enumerate(dilations(config.output_stride))
                ),
            ]
        )

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Maps the stem's output to the output of every stage."""
        states = []
        for stage in self.layer:
            features = stage(features)
            states.append(features)
        return tuple(states)


def _mobilenet_stage(
    config: MobileViTConfig, *, in_channels: int, out_channels: int, stride: int, depth: int
) -> Stack:
    first = InvertedResidual(config, in_channels=in_channels, out_channels=out_channels, stride=stride)
    rest = (
        InvertedResidual(config, in_channels=out_channels, out_channels=out_channels, stride=1)
        for _ in range(depth - 1)
    )
    return Stack(first, *rest)


def dilations(output_stride: int) -> tuple[int, int, int]:
    """Dilation of each MobileViT block: from where a stride is dropped, every block doubles it."""
    return {32: (1, 1, 1), 16: (1, 1, 2), 8: (1, 2, 4)}[output_stride]


class MobileViTModel(MobileViTPreTrainedModel):
    """The backbone.

    Args:
        config: the architecture.
        expand_output: whether a last 1x1 convolution widens the map, and its mean is the ``pooler_output``.
    """

    def __init__(self, config: MobileViTConfig, expand_output: bool = True) -> None:
        super().__init__(config)
        stem, *_, last, expanded = config.neck_hidden_sizes
        self.expand_output = expand_output
        self.conv_stem = ConvLayer(
            in_channels=config.num_channels,
            out_channels=stem,
            kernel_size=3,
            stride=2,
            activation=config.hidden_act,
        )
        self.encoder = Encoder(config)
        if expand_output:
            self.conv_1x1_exp = ConvLayer(
                in_channels=last, out_channels=expanded, activation=config.hidden_act
            )
        initialize(self)

    def forward(self, pixel_values: Tensor, output_hidden_states: bool | None = None) -> BackboneOutput:
        """Computes the feature maps.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            output_hidden_states: whether to return every stage's output; the config says so unless given.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point.
        """
        self._check_pixels(pixel_values)
        states = self.encoder(self.conv_stem(pixel_values))
        last = self.conv_1x1_exp(states[-1]) if self.expand_output else states[-1]
        return BackboneOutput(
            last_hidden_state=last,  # [b, c, h, w]
            pooler_output=last.mean(dim=(-2, -1)) if self.expand_output else None,  # [b, c]
            hidden_states=states if self._wants_hidden_states(output_hidden_states) else None,
        )
