"""The segmenter in Keras: DeepLabV3's head, channels last."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.deeplabv3 import MobileViTForSemanticSegmentation
from mobilevit_deploy.model.keras.head import TFMobileViTWithHead
from mobilevit_deploy.model.keras.layers import Block, ConvLayer, resize
from mobilevit_deploy.model.keras.mobilevit import TFMobileViTModel
from mobilevit_deploy.model.keras.outputs import TFSemanticSegmenterOutput

_ACTIVATION = "relu"


class AsppPooling(Block):
    """The pyramid's view of the whole picture: its mean, projected and spread over the map again."""

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_1x1 = ConvLayer(in_channels=in_channels, out_channels=out_channels, activation=_ACTIVATION)

    def call(self, features: Any) -> Any:
        """[b, h, w, c] -> [b, h, w, a], the same at every place."""
        mean = self.conv_1x1(ops.mean(features, axis=(1, 2), keepdims=True))
        return resize(mean, tuple(ops.shape(features)[1:3]))


class Aspp(Block):
    """Atrous spatial pyramid pooling: the map seen at five scales side by side."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        in_channels, out_channels = config.neck_hidden_sizes[-2], config.aspp_out_channels
        self.convs = [
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
        self.project = ConvLayer(
            in_channels=len(self.convs) * out_channels, out_channels=out_channels, activation=_ACTIVATION
        )
        self.dropout = keras.layers.Dropout(config.aspp_dropout_prob)

    def call(self, features: Any) -> Any:
        """[b, h, w, c] -> [b, h, w, a]."""
        pyramid = ops.concatenate([conv(features) for conv in self.convs], axis=-1)
        return self.dropout(self.project(pyramid))


class DeepLabV3(Block):
    """The pyramid, and a classifier of every cell of its map."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        self.aspp = Aspp(config)
        self.dropout = keras.layers.SpatialDropout2D(
            config.classifier_dropout_prob, data_format="channels_last"
        )
        self.classifier = ConvLayer(
            in_channels=config.aspp_out_channels, out_channels=config.num_labels, bias=True, normalize=False
        )

    def call(self, features: Any) -> Any:
        """[b, h, w, c] -> logits [b, h, w, num_labels]."""
        return self.classifier(self.dropout(self.aspp(features)))


@keras.saving.register_keras_serializable(package="mobilevit_deploy")
class TFMobileViTForSemanticSegmentation(TFMobileViTWithHead):
    """The backbone, without its last 1x1 convolution, and DeepLabV3's head on its last stage.

    Args:
        config: the architecture.
        **arguments: Keras' own, such as ``name``.
    """

    reference = MobileViTForSemanticSegmentation
    output_type = TFSemanticSegmenterOutput

    def __init__(self, config: MobileViTConfig, **arguments: Any) -> None:
        super().__init__(config, **arguments)
        self.mobilevit = TFMobileViTModel(config, expand_output=False)
        self.segmentation_head = DeepLabV3(config)
        self.build(self.input_shape)

    def head(self, features: Any) -> Any:
        """[b, h, w, c] -> logits [b, h, w, num_labels]."""
        return self.segmentation_head(features)

    def loss_of(self, labels: Any, logits: Any) -> Any:
        """The published loss: see ``MobileViTForSemanticSegmentation.forward`` for the labels it takes."""
        if self.config.num_labels == 1:
            raise ValueError("Segmentation needs at least 2 labels to learn from; the config has 1.")
        if len(labels.shape) != 3:
            raise ValueError(f"labels must be [batch, height, width], not {list(labels.shape)}.")
        return segmentation_loss(logits, labels, ignore_index=self.config.semantic_loss_ignore_index)


def segmentation_loss(logits: Any, labels: Any, *, ignore_index: int) -> Any:
    """The reference's loss: cross entropy of every pixel of the labels, but for those of ``ignore_index``.

    Args:
        logits: [b, num_labels, h, w]; enlarged to the size of the labels.
        labels: [b, height, width] class numbers.
        ignore_index: the class number that does not count. Where nothing else is left, the loss is NaN.
    """
    labels = tf.convert_to_tensor(labels)
    enlarged = resize(ops.transpose(logits, (0, 2, 3, 1)), tuple(ops.shape(labels)[1:]))
    counted = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.boolean_mask(labels, counted), tf.boolean_mask(enlarged, counted)
        )
    )
