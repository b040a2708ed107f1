"""The classifier: MobileViT with a linear layer on its pooled output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.mobilevit import MobileViTModel
from mobilevit_deploy.model.outputs import ImageClassifierOutput
from mobilevit_deploy.model.pretrained import MobileViTPreTrainedModel, initialize


class MobileViTForImageClassification(MobileViTPreTrainedModel):
    """The backbone with a linear classifier on its pooled output."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__(config)
        self.mobilevit = MobileViTModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.neck_hidden_sizes[-1], config.num_labels)
        initialize(self.classifier)

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, output_hidden_states: bool | None = None
    ) -> ImageClassifierOutput:
        """Computes the logits, and the loss if there are labels.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            labels: [b] class numbers, [b, num_labels] zeros and ones for several classes at once, or targets
                of a regression. ``config.problem_type`` says which; without it, their dtype does.
            output_hidden_states: whether to return every stage's output; the config says so unless given.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point.
        """
        outputs = self.mobilevit(
            pixel_values, output_hidden_states=self._wants_hidden_states(output_hidden_states)
        )
        logits = self.classifier(self.dropout(outputs.pooler_output))  # [b, num_labels]
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return ImageClassifierOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The published choice of loss.

    Without a ``problem_type``, one label is a regression, whole numbers are classes, and anything else is
    several classes at once.
    """
    num_labels = logits.shape[-1]
    if problem_type is None:
        problem_type = _inferred_problem_type(num_labels, labels)
    if problem_type == "regression":
        return (
            F.mse_loss(logits.squeeze(), labels.squeeze()) if num_labels == 1 else F.mse_loss(logits, labels)
        )
    if problem_type == "single_label_classification":
        return F.cross_entropy(logits, labels.reshape(-1))
    return F.binary_cross_entropy_with_logits(logits, labels)


def _inferred_problem_type(num_labels: int, labels: Tensor) -> str:
    if num_labels == 1:
        return "regression"
    whole = labels.dtype in (torch.long, torch.int)
    return "single_label_classification" if whole else "multi_label_classification"
