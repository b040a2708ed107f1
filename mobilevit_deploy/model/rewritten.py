"""The modules that rewrites put in place of the reference's. Each is made from the one it replaces.

Shape letters: b sequences (or pictures, of a map), n tokens of each, d hidden size, k heads, e = d/k size of
a head, h and w height and width of a map, p side of a patch, c and a channels into and out of a head.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.deeplabv3 import Aspp
from mobilevit_deploy.model.layers import SelfAttention, Stack
from mobilevit_deploy.model.mobilevit import MobileViTBlock, MobileViTModel
from mobilevit_deploy.model.outputs import BackboneOutput


class UnscaledAttention(nn.Module):
    """Self-attention whose query projection holds the scale of the scores."""

    def __init__(self, attention: SelfAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        for parameter in self.query.parameters():
            parameter.mul_(self.head_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        query, key, value = (self._heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        mixed = (query @ key.transpose(-1, -2)).softmax(dim=-1) @ value  # [b, k, n, e]
        return mixed.transpose(1, 2).flatten(2)  # [b, n, d]

    def _heads(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        return tokens.reshape(b, n, self.num_heads, self.head_size).transpose(1, 2)  # [b, k, n, e]


class BmmAttention(nn.Module):
    """Unscaled self-attention in three dimensions."""

    def __init__(self, attention: UnscaledAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        b, n, d = tokens.shape
        query, key, value = (self._split(layer(tokens)) for layer in (self.query, self.key, self.value))
        query = query.transpose(1, 2).flatten(0, 1)  # [b*k, n, e]
        key = key.permute(0, 2, 3, 1).flatten(0, 1)  # [b*k, e, n], as bmm wants it: no second transposition
        value = value.transpose(1, 2).flatten(0, 1)  # [b*k, n, e]
        mixed = torch.bmm(torch.bmm(query, key).softmax(dim=-1), value)  # [b*k, n, e]
        return mixed.reshape(b, self.num_heads, n, self.head_size).transpose(1, 2).reshape(b, n, d)

    def _split(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        return tokens.reshape(b, n, self.num_heads, self.head_size)  # [b, n, k, e]


class MatrixTransformer(Stack):
    """Transformer layers that take the tokens of all sequences at once."""

    def __init__(self, transformer: Stack) -> None:
        super().__init__(*transformer.layer)

    def forward(self, features: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        return super().forward(features.flatten(0, 1)).view_as(features)


class MatrixAttention(nn.Module):
    """Unscaled self-attention of several sequences that lie in one matrix."""

    num_heads: int
    head_size: int
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear

    def __init__(
        self, attention: UnscaledAttention | BmmAttention | MatrixAttention, *, sequences: int
    ) -> None:
        super().__init__()
        self.sequences = sequences
        self.num_heads = attention.num_heads
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value

    def forward(self, rows: Tensor) -> Tensor:
        """[b*n, d] -> [b*n, d]."""
        return self._mix(rows, self.value(rows)).reshape(rows.shape)

    def _mix(self, rows: Tensor, values: Tensor) -> Tensor:
        query, key, value = (self._split(x) for x in (self.query(rows), self.key(rows), values))
        scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # [b, k, n, n]
        mixed = scores.softmax(dim=-1) @ value.transpose(1, 2)  # [b, k, n, e]
        return mixed.transpose(1, 2).reshape(self.sequences, -1, rows.shape[-1])  # [b, n, d]

    def _split(self, rows: Tensor) -> Tensor:
        return rows.reshape(self.sequences, -1, self.num_heads, self.head_size)  # [b, n, k, e]


class CentredAttention(MatrixAttention):
    """Attention whose values have a mean of zero; what they had is added to the result.

    Exact, since the weights of a token's sum are probabilities. Rounded to 8 bits, 256 of them no longer add
    up to one: what all values share, on a picture of one colour everything, would shrink or grow by that.
    """

    def __init__(self, attention: MatrixAttention) -> None:
        super().__init__(attention, sequences=attention.sequences)

    def forward(self, rows: Tensor) -> Tensor:
        """[b*n, d] -> [b*n, d]."""
        values: Tensor = self.value(rows).reshape(self.sequences, -1, rows.shape[-1])  # [b, n, d]
        mean = values.mean(dim=1, keepdim=True)
        return (self._mix(rows, values - mean) + mean).reshape(rows.shape)


class LinearLayerNorm(nn.Module):
    """LayerNorm over the last axis, its two means taken by linear layers with one output.

    A linear layer that centres in one step (weights I - 1/d) saves the subtraction and costs d times the
    arithmetic: MobileViT-S runs 9 % slower with it.
    """

    mean: Tensor
    eps: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (size,) = norm.normalized_shape
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("mean", torch.full((1, size), 1 / size))
        self.register_buffer("eps", torch.full((1,), norm.eps))

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        centred = tokens - F.linear(tokens, self.mean)
        variance = F.linear(centred * centred, self.mean, self.eps)  # [..., 1], epsilon included
        normal = centred * variance.rsqrt()
        return normal if self.weight is None else normal * self.weight + self.bias


class SiluProduct(nn.Module):
    """SiLU in two operators."""

    def forward(self, features: Tensor) -> Tensor:
        """Any shape, kept."""
        return features * features.sigmoid()


class PoolingBackbone(nn.Module):
    """The backbone, pooled in two steps."""

    def __init__(self, backbone: MobileViTModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixel_values: Tensor, output_hidden_states: bool | None = None) -> BackboneOutput:
        """As ``MobileViTModel``."""
        output: BackboneOutput = self.backbone(pixel_values, output_hidden_states=output_hidden_states)
        pooled = output.last_hidden_state.mean(dim=(-2, -1), keepdim=True)  # [b, c, 1, 1]
        return dataclasses.replace(output, pooler_output=pooled.flatten(1))


class RelaidBlock(MobileViTBlock):
    """A MobileViT block with the layers of another: subclasses cut its map into patches in their own way."""

    def __init__(self, block: MobileViTBlock) -> None:
        nn.Module.__init__(self)
        self.patch_size = block.patch_size
        for name, layer in block.named_children():
            self.add_module(name, layer)


class RankFourBlock(RelaidBlock):
    """A MobileViT block for one picture, which holds no tensor of more than four axes."""

    def unfold(self, features: Tensor) -> Tensor:
        """[1, d, h, w] -> sequences [p*p, n, d], the tokens of each column by column.

        The places within a patch lead, column first: that keeps their row (p) next to the patch's column
        (w/p), and the two move as one axis. A cell's d numbers stay together, so that whole runs are copied.
        """
        _, d, h, w = features.shape
        p = self.patch_size
        cells = features.permute(0, 2, 3, 1).reshape(h // p, p * (w // p), p, d)
        return cells.permute(2, 1, 0, 3).reshape(p * p, h // p * (w // p), d)

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Inverse of ``unfold``."""
        p = self.patch_size
        cells = tokens.reshape(p, p * (width // p), height // p, -1)
        return cells.permute(2, 1, 0, 3).reshape(1, height, width, -1).permute(0, 3, 1, 2)


class PooledBranchAspp(nn.Module):
    """Atrous spatial pyramid pooling whose mean is projected on its own; BatchNorm is folded already."""

    def __init__(self, aspp: Aspp) -> None:
        super().__init__()
        self.convs = aspp.convs[:-1]
        self.pooling = aspp.convs[-1].get_submodule("conv_1x1")
        self.project, self.project_mean = _split_input(aspp.project.convolution, parts=len(aspp.convs))

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, a, h, w]."""
        maps = self.project(torch.cat([conv(features) for conv in self.convs], dim=1))  # [b, a, h, w]
        mean = self.project_mean(self.pooling(features.mean(dim=(-2, -1), keepdim=True)))  # [b, a, 1, 1]
        return F.relu(maps + mean)


def _split_input(whole: nn.Conv2d, *, parts: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Two 1x1 convolutions that add up to one: of all of its input's parts but the last, and of the last."""
    last = whole.in_channels // parts
    first = nn.Conv2d(whole.in_channels - last, whole.out_channels, 1, bias=False)
    first.weight, first.bias = nn.Parameter(whole.weight[:, :-last]), whole.bias
    second = nn.Conv2d(last, whole.out_channels, 1, bias=False)
    second.weight = nn.Parameter(whole.weight[:, -last:])
    return first.requires_grad_(False), second.requires_grad_(False)
