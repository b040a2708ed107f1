"""The modules of ``tokens_as_map`` and ``tokens_as_rows``: transformers whose first axis is the picture's.

Tokens are a map with a row for each place within a patch, and a column for each patch: [b, d, s, n], channels
first, is the layout of Apple's Neural Engine (machinelearning.apple.com/research/neural-engine-transformers),
and [b, s, n, d] that of GPU delegates. Neither holds more than four axes.

Shape letters: b pictures, d hidden size, n tokens (k as keys, q as queries), e size of a head, h and w height
and width of a map, p side of a patch, s = p*p places within one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.layers import Stack
from mobilevit_deploy.model.rewritten import (
    BmmAttention,
    LinearLayerNorm,
    MatrixAttention,
    RelaidBlock,
    UnscaledAttention,
)


class PointwiseLinear(nn.Conv2d):
    """A linear layer of the channels of a map: a convolution with a kernel of 1."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, 1, bias=linear.bias is not None)
        self.weight = nn.Parameter(linear.weight[:, :, None, None], requires_grad=False)
        self.bias = linear.bias


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of a map, which are its axis ``axis``."""

    def __init__(self, norm: nn.LayerNorm | LinearLayerNorm, *, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, tokens: Tensor) -> Tensor:
        """Keeps the shape."""
        centred = tokens - tokens.mean(dim=self.axis, keepdim=True)
        normal = centred * (centred.square().mean(dim=self.axis, keepdim=True) + self.eps).rsqrt()
        return normal if self.weight is None else normal * self._wide(self.weight) + self._wide(self.bias)

    def _wide(self, vector: Tensor) -> Tensor:
        return vector.view(-1, 1, 1) if self.axis == 1 else vector


class HeadByHeadAttention(nn.Module):
    """Unscaled self-attention with the projections of another, computed one head after the other."""

    head_size: int
    query: nn.Module
    key: nn.Module
    value: nn.Module

    def __init__(
        self, attention: UnscaledAttention | BmmAttention | MatrixAttention | HeadByHeadAttention
    ) -> None:
        super().__init__()
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value


class MapAttention(HeadByHeadAttention):
    """Unscaled self-attention of sequences that are rows of a map, one head after the other.

    As Apple writes it for the Neural Engine (github.com/apple/ml-ane-transformers): only keys are transposed,
    and each head's scores are a tensor of their own, small enough to stay in fast memory.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, d, s, n] -> [b, d, s, n]."""
        queries = self.query(tokens).split(self.head_size, dim=1)  # each [b, e, s, n]
        keys = self.key(tokens).transpose(1, 3).split(self.head_size, dim=3)  # each [b, n, s, e]
        values = self.value(tokens).split(self.head_size, dim=1)
        return torch.cat([_mix(*head) for head in zip(queries, keys, values, strict=True)], dim=1)


def _mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = torch.einsum("bkse,besq->bksq", key, query)
    return torch.einsum("besk,bksq->besq", value, scores.softmax(dim=1))


class RowAttention(HeadByHeadAttention):
    """Unscaled self-attention of sequences that are rows of a map, channels last, head after head."""

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, s, n, d] -> [b, s, n, d]."""
        queries, keys, values = (
            layer(tokens).split(self.head_size, dim=-1) for layer in (self.query, self.key, self.value)
        )
        return torch.cat([_mix_rows(*head) for head in zip(queries, keys, values, strict=True)], dim=-1)


def _mix_rows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    # A 4-D matmul is exported as one of three axes between two reshapes; this is not.
    scores = torch.einsum("bsqe,bske->bsqk", query, key)
    return torch.einsum("bsqk,bske->bsqe", scores.softmax(dim=-1), value)


class MapTransformer(Stack):
    """Transformer layers that take maps: a class of its own, so that no rewrite takes it for another."""

    def __init__(self, transformer: Stack) -> None:
        super().__init__(*transformer.layer)


class MapBlock(RelaidBlock):
    """A MobileViT block whose tokens are a map of d channels, and a row for each place within a patch."""

    def unfold(self, features: Tensor) -> Tensor:
        """[b, d, h, w] -> [b, d, s, n]; no axis moves past the channels."""
        b, d, _, _ = features.shape
        return F.pixel_unshuffle(features, self.patch_size).reshape(b, d, self.patch_size**2, -1)

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Inverse of ``unfold``."""
        p = self.patch_size
        return F.pixel_shuffle(tokens.reshape(len(tokens), -1, height // p, width // p), p)


class RowBlock(RelaidBlock):
    """A MobileViT block whose tokens are such a map with channels last.

    Rows of the picture move first, then columns: two transpositions, so that the first axis stays the
    picture's without a fifth. Places within a patch come column by column, which attention does not see.
    """

    def unfold(self, features: Tensor) -> Tensor:
        """[b, d, h, w] -> [b, s, n, d]."""
        b, d, h, w = features.shape
        p = self.patch_size
        cells = features.permute(0, 2, 3, 1).reshape(b, h // p, p, w * d).transpose(1, 2)  # rows by place
        return cells.reshape(b, h * w // p, p, d).transpose(1, 2).reshape(b, p * p, -1, d)

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Inverse of ``unfold``."""
        b, d = len(tokens), tokens.shape[-1]
        p = self.patch_size
        cells = tokens.reshape(b, p, -1, d).transpose(1, 2).reshape(b, p, height // p, width * d)
        return cells.transpose(1, 2).reshape(b, height, width, d).permute(0, 3, 1, 2)
