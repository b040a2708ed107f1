"""What the TensorFlow models with a head share: the call, and training with Keras' ``fit``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from mobilevit_deploy.model.keras.mobilevit import TFMobileViTModel
from mobilevit_deploy.model.keras.outputs import TFImageClassifierOutput, TFSemanticSegmenterOutput
from mobilevit_deploy.model.keras.pretrained import TFMobileViTPreTrainedModel, published


class TFMobileViTWithHead(TFMobileViTPreTrainedModel):
    """A backbone and a head.

    ``compile`` without a loss trains with the published one; a loss or metrics given there see the logits.
    """

    output_type: ClassVar[type[TFImageClassifierOutput] | type[TFSemanticSegmenterOutput]]
    mobilevit: TFMobileViTModel

    @abstractmethod
    def head(self, features: Any) -> Any:
        """The backbone's last map [b, h, w, c] -> logits, channels last."""

    @abstractmethod
    def loss_of(self, labels: Any, logits: Any) -> Any:
        """The published loss; ``logits`` as the output holds them."""

    def call(
        self,
        pixel_values: Any,
        labels: Any = None,
        output_hidden_states: bool | None = None,
        training: bool | None = None,  # noqa: ARG002 - Keras hands it to the layers
    ) -> TFImageClassifierOutput | TFSemanticSegmenterOutput:
        """Computes the logits, and the loss if there are labels.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            labels: what the reference takes.
            output_hidden_states: whether to return every stage's output; the config says so unless given.
            training: whether dropout drops and BatchNorm learns.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point.
        """
        last, states = self.mobilevit.feature_maps(self._pictures(pixel_values))
        logits = self.head(last)
        if len(logits.shape) == 4:
            (logits,) = published((logits,))
        wanted = self._wants_hidden_states(output_hidden_states)
        return self.output_type(
            loss=None if labels is None else self.loss_of(labels, logits),
            logits=logits,
            hidden_states=published(states) if wanted else None,
        )

    def graph(self, pictures: Any) -> Any:
        """[b, h, w, num_channels] -> logits, channels last: what is converted to TFLite."""
        last, _ = self.mobilevit.feature_maps(pictures)
        return self.head(last)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Keras' hook: the loss of a batch in ``fit`` and ``evaluate``.

        Raises:
            ValueError: there are sample weights, which the published loss does not know.
        """
        if self._compile_loss is not None:
            return super().compute_loss(x, y, y_pred.logits, sample_weight, training)
        if sample_weight is not None:
            raise ValueError("The published loss takes no sample weights; compile with a loss that does.")
        return self.loss_of(y, y_pred.logits)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Keras' hook: metrics of a batch."""
        return super().compute_metrics(x, y, y_pred.logits, sample_weight)
