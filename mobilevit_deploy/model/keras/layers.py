"""The reference's layers in Keras, channels last.

Attributes carry the names of Hugging Face's checkpoints, so that ``weights.py`` finds a tensor's layer by the
tensor's name. Every layer is built as it is made: a model has its variables before it has seen a picture.

Nothing here has more than four axes, whatever the batch: GPU delegates of TFLite take no more.

Shape letters: b batch (or sequences), c channels, h and w height and width of a feature map, p side of a
patch, n tokens of a sequence, d hidden size, k heads, e = d/k size of a head.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.layers import make_divisible

_ACTIVATIONS = {"swish": "silu", "hardswish": "hard_silu"}
"""Names of a config that Keras spells differently."""

# torch's defaults, with which the reference was trained. Keras counts what is kept, torch what is replaced.
_BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}


def dense(in_features: int, out_features: int, *, bias: bool = True) -> keras.layers.Dense:
    """A linear layer."""
    return _built(keras.layers.Dense(out_features, use_bias=bias), (None, in_features))


def layer_norm(size: int, *, eps: float) -> keras.layers.LayerNormalization:
    """LayerNorm over the last axis."""
    return _built(keras.layers.LayerNormalization(epsilon=eps), (None, size))


def activation_layer(name: str) -> keras.layers.Activation:
    """The activation that a config names."""
    return keras.layers.Activation(_ACTIVATIONS.get(name, name))


class Block(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer of layers, all of them built as they were made."""

    def build(self, input_shape: Any = None) -> None:
        """Nothing: without this, Keras would trace every block once to look for something to build."""


class ConvLayer(Block):
    """Convolution that keeps a map's size (over its stride), then BatchNorm and activation if wanted."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        depthwise: bool = False,
        bias: bool = False,
        normalize: bool = True,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        # "same" pads an even map with stride 2 on one side only, torch on both.
        side = (kernel_size - 1) // 2 if stride > 1 else 0
        self.padding = keras.layers.ZeroPadding2D(side) if side else None
        arguments = {
            "kernel_size": kernel_size,
            "strides": stride,
            "dilation_rate": dilation,
            "padding": "valid" if side else "same",
            "use_bias": bias,
        }
        if depthwise:
            # Keras counts the other channels into a depthwise convolution's fan-in, which would silence it.
            limit = math.sqrt(6) / kernel_size
            convolution = keras.layers.DepthwiseConv2D(
                depthwise_initializer=keras.initializers.RandomUniform(-limit, limit), **arguments
            )
        else:
            convolution = keras.layers.Conv2D(out_channels, kernel_initializer="he_uniform", **arguments)
        self.convolution = _built(convolution, (None, None, None, in_channels))
        self.normalization = (
            _built(keras.layers.BatchNormalization(**_BATCH_NORM), (None, None, None, out_channels))
            if normalize
            else None
        )
        self.activation = activation_layer(activation) if activation else None

    def call(self, features: Any) -> Any:
        """[b, h, w, in_channels] -> [b, h/stride, w/stride, out_channels], rounded up."""
        if self.padding is not None:
            features = self.padding(features)
        features = self.convolution(features)
        if self.normalization is not None:
            features = self.normalization(features)
        return features if self.activation is None else self.activation(features)


class InvertedResidual(Block):
    """MobileNetV2's block: widen, convolve each channel on its own, narrow."""

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
            depthwise=True,
            activation=config.hidden_act,
        )
        self.reduce_1x1 = ConvLayer(in_channels=expanded, out_channels=out_channels)

    def call(self, features: Any) -> Any:
        """[b, h, w, in_channels] -> [b, h/stride, w/stride, out_channels], rounded up."""
        narrowed = self.reduce_1x1(self.conv_3x3(self.expand_1x1(features)))
        return features + narrowed if self.use_residual else narrowed


class Stack(Block):
    """Layers one after the other."""

    def __init__(self, *layers: keras.layers.Layer) -> None:
        super().__init__()
        self.layer = list(layers)

    def call(self, features: Any) -> Any:
        """Whatever the first layer takes -> what the last one gives."""
        for layer in self.layer:
            features = layer(features)
        return features


class SelfAttention(Block):
    """Multi-head attention of every position to every position of its sequence."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_size = hidden_size // self.num_heads
        self.query = dense(hidden_size, hidden_size, bias=config.qkv_bias)
        self.key = dense(hidden_size, hidden_size, bias=config.qkv_bias)
        self.value = dense(hidden_size, hidden_size, bias=config.qkv_bias)
        self.dropout = keras.layers.Dropout(config.attention_probs_dropout_prob)

    def call(self, tokens: Any) -> Any:
        """[b, n, d] -> [b, n, d]."""
        # On the queries, not on the k*n*n scores: TFLite's converter multiplies it into their projection.
        query = self._heads(self.query(tokens) * self.head_size**-0.5)
        scores = ops.matmul(query, ops.transpose(self._heads(self.key(tokens)), (0, 1, 3, 2)))
        attention = self.dropout(ops.softmax(scores, axis=-1))  # [b, k, n, n]
        mixed = ops.matmul(attention, self._heads(self.value(tokens)))  # [b, k, n, e]
        return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), ops.shape(tokens))  # [b, n, d]

    def _heads(self, tokens: Any) -> Any:
        _, n, _ = ops.shape(tokens)
        heads = ops.reshape(tokens, (-1, n, self.num_heads, self.head_size))
        return ops.transpose(heads, (0, 2, 1, 3))  # [b, k, n, e]


class Projection(Block):
    """A linear layer and dropout: the end of a branch, before it is added to what it branched from."""

    def __init__(self, *, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__()
        self.dense = dense(in_features, out_features)
        self.dropout = keras.layers.Dropout(dropout)

    def call(self, tokens: Any) -> Any:
        """[..., in_features] -> [..., out_features]."""
        return self.dropout(self.dense(tokens))


class Attention(Block):
    """Self-attention and its output projection."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        self.attention = SelfAttention(config, hidden_size=hidden_size)
        self.projection = Projection(
            in_features=hidden_size, out_features=hidden_size, dropout=config.hidden_dropout_prob
        )

    def call(self, tokens: Any) -> Any:
        """[b, n, d] -> [b, n, d]."""
        return self.projection(self.attention(tokens))


class Intermediate(Block):
    """The widening half of a transformer layer's MLP."""

    def __init__(self, *, in_features: int, out_features: int, activation: str) -> None:
        super().__init__()
        self.dense = dense(in_features, out_features)
        self.activation = activation_layer(activation)

    def call(self, tokens: Any) -> Any:
        """[..., in_features] -> [..., out_features]."""
        return self.activation(self.dense(tokens))


class TransformerLayer(Block):
    """Pre-norm transformer layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        mlp_size = int(hidden_size * config.mlp_ratio)
        self.attention = Attention(config, hidden_size=hidden_size)
        self.intermediate = Intermediate(
            in_features=hidden_size, out_features=mlp_size, activation=config.hidden_act
        )
        self.projection = Projection(
            in_features=mlp_size, out_features=hidden_size, dropout=config.hidden_dropout_prob
        )
        self.layernorm_before = layer_norm(hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = layer_norm(hidden_size, eps=config.layer_norm_eps)

    def call(self, tokens: Any) -> Any:
        """[b, n, d] -> [b, n, d]."""
        tokens = tokens + self.attention(self.layernorm_before(tokens))
        return tokens + self.projection(self.intermediate(self.layernorm_after(tokens)))


def resize(features: Any, size: tuple[Any, Any]) -> Any:
    """Bilinear, with half-pixel centres: torch's ``align_corners=False``."""
    # Keras' own wants sizes that are known while a tf.function is traced.
    return tf.image.resize(features, size, method="bilinear")


def _built(layer: Any, shape: tuple[int | None, ...]) -> Any:
    layer.build(shape)
    return layer
