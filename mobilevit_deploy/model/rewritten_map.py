"""The modules of ``tokens_as_map``: MobileViT's transformers in the layout of Apple's Neural Engine.

Tokens are a map [b, d, s, n]: channels first, a row for each place within a patch, a column for each patch.
Source: machinelearning.apple.com/research/neural-engine-transformers.

Shape letters: b pictures, d hidden size, n tokens (k as keys, q as queries), e size of a head, h and w height
and width of a map, p side of a patch, s = p*p places within one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.layers import Stack
from mobilevit_deploy.model.mobilevit import MobileViTBlock
from mobilevit_deploy.model.rewritten import BmmAttention, LinearLayerNorm, MatrixAttention, UnscaledAttention


class PointwiseLinear(nn.Conv2d):
    """A linear layer of the channels of a map: a convolution with a kernel of 1."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, 1, bias=linear.bias is not None)
        self.weight = nn.Parameter(linear.weight[:, :, None, None], requires_grad=False)
        self.bias = linear.bias


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of a map."""

    def __init__(self, norm: nn.LayerNorm | LinearLayerNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, d, s, n] -> [b, d, s, n]."""
        centred = tokens - tokens.mean(dim=1, keepdim=True)
        normal = centred * (centred.square().mean(dim=1, keepdim=True) + self.eps).rsqrt()
        return normal if self.weight is None else normal * _channels(self.weight) + _channels(self.bias)


def _channels(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)


class MapAttention(nn.Module):
    """Unscaled self-attention of sequences that are rows of a map, one head after the other.

    As Apple writes it for the Neural Engine (github.com/apple/ml-ane-transformers): only keys are transposed,
    and each head's scores are a tensor of their own, small enough to stay in fast memory.
    """

    def __init__(self, attention: UnscaledAttention | BmmAttention | MatrixAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, d, s, n] -> [b, d, s, n]."""
        queries = self.query(tokens).split(self.head_size, dim=1)  # each [b, e, s, n]
        keys = self.key(tokens).transpose(1, 3).split(self.head_size, dim=3)  # each [b, n, s, e]
        values = self.value(tokens).split(self.head_size, dim=1)
        return torch.cat([_mix(*head) for head in zip(queries, keys, values, strict=True)], dim=1)


def _mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = torch.einsum("bkse,besq->bksq", key, query)
    return torch.einsum("besk,bksq->besq", value, scores.softmax(dim=1))


class MapTransformer(Stack):
    """Transformer layers that take maps: a class of its own, so that no rewrite takes it for another."""

    def __init__(self, transformer: Stack) -> None:
        super().__init__(*transformer.layer)


class MapBlock(MobileViTBlock):
    """A MobileViT block whose tokens are a map of d channels, and a row for each place within a patch."""

    def __init__(self, block: MobileViTBlock) -> None:
        nn.Module.__init__(self)
        self.patch_size = block.patch_size
        for name, layer in block.named_children():
            self.add_module(name, layer)

    def unfold(self, features: Tensor) -> Tensor:
        """[b, d, h, w] -> [b, d, s, n]; no axis moves past the channels."""
        b, d, _, _ = features.shape
        return F.pixel_unshuffle(features, self.patch_size).reshape(b, d, self.patch_size**2, -1)

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Inverse of ``unfold``."""
        p = self.patch_size
        return F.pixel_shuffle(tokens.reshape(len(tokens), -1, height // p, width // p), p)
