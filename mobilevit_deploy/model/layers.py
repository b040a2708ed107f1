"""The layers that MobileViT is built of: MobileNetV2's and the transformer's.

Modules carry the names of Hugging Face's checkpoints (``convolution.weight``), so that these load as they
are. Nothing here is written for speed on a phone; that is the work of ``rewrite.py``.

Shape letters: b batch (or sequences), c channels, h and w height and width of a feature map, n tokens of a
sequence, d hidden size, k heads, e = d/k size of a head.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from mobilevit_deploy.model.config import MobileViTConfig

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
}


def make_divisible(channels: float, *, divisor: int = 8) -> int:
    """Rounds to the nearest multiple of ``divisor``, never losing more than a tenth (MobileNetV2's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class ConvLayer(nn.Module):
    """Convolution that keeps a map's size (over its stride), then BatchNorm and activation if wanted."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        normalize: bool = True,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=(kernel_size - 1) // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        self.normalization = nn.BatchNorm2d(out_channels) if normalize else None
        self.activation = _ACTIVATIONS[activation]() if activation else None

    def forward(self, features: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h/stride, w/stride], rounded up."""
        features = self.convolution(features)
        if self.normalization is not None:
            features = self.normalization(features)
        if self.activation is not None:
            features = self.activation(features)
        return features


class InvertedResidual(nn.Module):
    """MobileNetV2's block (arXiv 1801.04381): widen, convolve each channel on its own, narrow."""

    def __init__(
        self, config: MobileViTConfig, *, in_channels: int, out_channels: int, stride: int, dilation: int = 1
    ) -> None:
        super().__init__()
        expanded = make_divisible(round(in_channels * config.expand_ratio))
        self.use_residual = stride == 1 and in_channels == out_channels
        self.expand_1x1 = ConvLayer(
            in_channels=in_channels, out_channels=expanded, activation=config.hidden_act
        )
        self.conv_3x3 = ConvLayer(
            in_channels=expanded,
            out_channels=expanded,
            kernel_size=3,
            stride=stride,
            dilation=dilation,
            groups=expanded,
            activation=config.hidden_act,
        )
        self.reduce_1x1 = ConvLayer(in_channels=expanded, out_channels=out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h/stride, w/stride], rounded up."""
        narrowed: Tensor = self.reduce_1x1(self.conv_3x3(self.expand_1x1(features)))
        return features + narrowed if self.use_residual else narrowed


class Stack(nn.Module):
    """Layers one after the other, under the name ``layer`` that checkpoints give them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Whatever the first layer takes -> what the last one gives."""
        for layer in self.layer:
            features = layer(features)
        return features


class SelfAttention(nn.Module):
    """Multi-head attention of every position to every position of its sequence."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_size = hidden_size // self.num_heads
        self.query = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.key = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.value = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        query, key, value = (self._heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / math.sqrt(self.head_size)  # [b, k, n, n]
        mixed: Tensor = self.dropout(scores.softmax(dim=-1)) @ value  # [b, k, n, e]
        return mixed.transpose(1, 2).flatten(2)  # [b, n, d]

    def _heads(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        return tokens.reshape(b, n, self.num_heads, self.head_size).transpose(1, 2)  # [b, k, n, e]


class Projection(nn.Module):
    """A linear layer and dropout: the end of a branch, before it is added to what it branched from."""

    def __init__(self, *, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        projected: Tensor = self.dropout(self.dense(tokens))
        return projected


class Attention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        self.attention = SelfAttention(config, hidden_size=hidden_size)
        self.output = Projection(
            in_features=hidden_size, out_features=hidden_size, dropout=config.hidden_dropout_prob
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        attended: Tensor = self.output(self.attention(tokens))
        return attended


class Intermediate(nn.Module):
    """The widening half of a transformer layer's MLP."""

    def __init__(self, *, in_features: int, out_features: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        widened: Tensor = self.activation(self.dense(tokens))
        return widened


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        mlp_size = int(hidden_size * config.mlp_ratio)
        self.attention = Attention(config, hidden_size=hidden_size)
        self.intermediate = Intermediate(
            in_features=hidden_size, out_features=mlp_size, activation=config.hidden_act
        )
        self.output = Projection(
            in_features=mlp_size, out_features=hidden_size, dropout=config.hidden_dropout_prob
        )
        self.layernorm_before = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        tokens = tokens + self.attention(self.layernorm_before(tokens))
        change: Tensor = self.output(self.intermediate(self.layernorm_after(tokens)))
        return tokens + change
