"""The backbone in Keras, and unfolding and folding of patches in four axes.

Shape letters: b batch, c channels, h and w height and width of a feature map, p side of a patch, n patches in
a map (h/p * w/p), d hidden size of a transformer.
"""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras import ops

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.keras.layers import (
    Block,
    ConvLayer,
    InvertedResidual,
    Stack,
    TransformerLayer,
    layer_norm,
    resize,
)
from mobilevit_deploy.model.keras.outputs import TFBackboneOutput
from mobilevit_deploy.model.keras.pretrained import TFMobileViTPreTrainedModel, published
from mobilevit_deploy.model.mobilevit import TRANSFORMER_DEPTHS, MobileViTModel, dilations
from mobilevit_deploy.model.pretrained import MobileViTPreTrainedModel


class MobileViTBlock(Block):
    """The paper's block; see the reference's for its arguments."""

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
        self.layernorm = layer_norm(hidden_size, eps=config.layer_norm_eps)
        self.conv_projection = ConvLayer(
            in_channels=hidden_size, out_channels=out_channels, activation=config.hidden_act
        )
        self.fusion = ConvLayer(
            in_channels=2 * out_channels,
            out_channels=out_channels,
            kernel_size=config.conv_kernel_size,
            activation=config.hidden_act,
        )

    def call(self, features: Any) -> Any:
        """[b, h, w, in_channels] -> [b, h/2, w/2, out_channels], rounded up; h and w stay if dilated."""
        features = self.downsampling_layer(features)
        local = self.conv_1x1(self.conv_kxk(features))
        projected = self.conv_projection(self._relate_patches(local))
        return self.fusion(ops.concatenate((features, projected), axis=-1))

    def _relate_patches(self, local: Any) -> Any:
        _, height, width, _ = ops.shape(local)
        whole = (_round_up(height, self.patch_size), _round_up(width, self.patch_size))
        # Sizes that are unknown while a tf.function is traced are tensors, and compare when it runs only:
        # resizing to the same size changes nothing.
        fits = None not in local.shape[1:] and whole == (height, width)
        tiled = local if fits else resize(local, whole)
        tokens = self.layernorm(self.transformer(unfold(tiled, patch_size=self.patch_size)))
        related = fold(tokens, patch_size=self.patch_size, height=whole[0], width=whole[1])
        return related if fits else resize(related, (height, width))


def unfold(features: Any, *, patch_size: int) -> Any:
    """Feature map [b, h, w, d] -> sequences [p*b*p, n, d], one for each place within a patch.

    The reference's sequences come in another order, which no sequence can tell.
    """
    p = patch_size
    _, h, w, d = ops.shape(features)
    cells = ops.transpose(ops.reshape(features, (-1, w // p, p, d)), (2, 0, 1, 3))  # [p, b*h, w/p, d]
    rows = ops.transpose(ops.reshape(cells, (-1, h // p, p, w // p * d)), (0, 2, 1, 3))
    return ops.reshape(rows, (-1, h // p * (w // p), d))  # of [p*b, p, h/p, w/p*d]


def fold(tokens: Any, *, patch_size: int, height: Any, width: Any) -> Any:
    """Inverse of ``unfold``: sequences [p*b*p, n, d] -> feature map [b, height, width, d]."""
    p = patch_size
    d = tokens.shape[-1]
    rows = ops.transpose(ops.reshape(tokens, (-1, p, height // p, width // p * d)), (0, 2, 1, 3))
    cells = ops.transpose(ops.reshape(rows, (p, -1, width // p, d)), (1, 2, 0, 3))  # [b*h, w/p, p, d]
    return ops.reshape(cells, (-1, height, width, d))


def _round_up(size: Any, multiple: int) -> Any:
    return (size + multiple - 1) // multiple * multiple


class Encoder(Block):
    """The five stages: two of convolutions, three of MobileViT blocks."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        stem, *widths, _ = config.neck_hidden_sizes
        self.layer = [
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

    def call(self, features: Any) -> tuple[Any, ...]:
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


@keras.saving.register_keras_serializable(package="mobilevit_deploy")
class TFMobileViTModel(TFMobileViTPreTrainedModel):
    """The backbone.

    Args:
        config: the architecture.
        expand_output: whether a last 1x1 convolution widens the map, and its mean is the ``pooler_output``.
        **arguments: Keras' own, such as ``name``.
    """

    reference = MobileViTModel

    def __init__(self, config: MobileViTConfig, expand_output: bool = True, **arguments: Any) -> None:
        super().__init__(config, **arguments)
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
        self.build(self.input_shape)

    def call(
        self,
        pixel_values: Any,
        output_hidden_states: bool | None = None,
        training: bool | None = None,  # noqa: ARG002 - Keras hands it to the layers
    ) -> TFBackboneOutput:
        """Computes the feature maps.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            output_hidden_states: whether to return every stage's output; the config says so unless given.
            training: whether dropout drops and BatchNorm learns.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point.
        """
        last, states = self.feature_maps(self._pictures(pixel_values))
        wanted = self._wants_hidden_states(output_hidden_states)
        return TFBackboneOutput(
            last_hidden_state=published((last,))[0],
            pooler_output=ops.mean(last, axis=(1, 2)) if self.expand_output else None,  # [b, c]
            hidden_states=published(states) if wanted else None,
        )

    def feature_maps(self, pictures: Any) -> tuple[Any, tuple[Any, ...]]:
        """[b, h, w, num_channels] -> the last map, and every stage's output, channels last."""
        states = self.encoder(self.conv_stem(pictures))
        last = self.conv_1x1_exp(states[-1]) if self.expand_output else states[-1]
        return last, states

    def get_config(self) -> dict[str, Any]:
        """As every model's."""
        return {**super().get_config(), "expand_output": self.expand_output}

    @classmethod
    def _arguments_of(cls, reference: MobileViTPreTrainedModel) -> dict[str, Any]:
        assert isinstance(reference, MobileViTModel)
        return {"expand_output": reference.expand_output}

    def _empty_reference(self) -> MobileViTPreTrainedModel:
        with torch.device("meta"):
            return MobileViTModel(self.config, expand_output=self.expand_output)
