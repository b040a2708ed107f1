"""The classifier in Keras."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mobilevit_deploy.model.classification import MobileViTForImageClassification
from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.keras.head import TFMobileViTWithHead
from mobilevit_deploy.model.keras.layers import dense
from mobilevit_deploy.model.keras.mobilevit import TFMobileViTModel
from mobilevit_deploy.model.keras.outputs import TFImageClassifierOutput


@keras.saving.register_keras_serializable(package="mobilevit_deploy")
class TFMobileViTForImageClassification(TFMobileViTWithHead):
    """The backbone with a linear classifier on its pooled output.

    Args:
        config: the architecture.
        **arguments: Keras' own, such as ``name``.
    """

    reference = MobileViTForImageClassification
    output_type = TFImageClassifierOutput

    def __init__(self, config: MobileViTConfig, **arguments: Any) -> None:
        super().__init__(config, **arguments)
        self.mobilevit = TFMobileViTModel(config)
        self.dropout = keras.layers.Dropout(config.classifier_dropout_prob)
        self.classifier = dense(config.neck_hidden_sizes[-1], config.num_labels)
        self.build(self.input_shape)

    def head(self, features: Any) -> Any:
        """[b, h, w, c] -> logits [b, num_labels]."""
        return self.classifier(self.dropout(ops.mean(features, axis=(1, 2))))

    def loss_of(self, labels: Any, logits: Any) -> Any:
        """The published loss: see ``MobileViTForImageClassification.forward`` for the labels it takes."""
        return classification_loss(logits, labels, self.config.problem_type)


def classification_loss(logits: Any, labels: Any, problem_type: str | None) -> Any:
    """The reference's choice of loss, from logits [b, num_labels]."""
    labels = tf.convert_to_tensor(labels)
    num_labels = logits.shape[-1]
    if problem_type is None:
        problem_type = _inferred_problem_type(num_labels, labels)
    if problem_type == "single_label_classification":
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(labels, [-1]), logits)
    elif problem_type == "regression":
        losses = tf.math.squared_difference(
            logits, tf.reshape(tf.cast(labels, logits.dtype), tf.shape(logits))
        )
    else:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, logits.dtype), logits)
    return tf.reduce_mean(losses)


def _inferred_problem_type(num_labels: int, labels: Any) -> str:
    if num_labels == 1:
        return "regression"
    return "single_label_classification" if labels.dtype.is_integer else "multi_label_classification"
