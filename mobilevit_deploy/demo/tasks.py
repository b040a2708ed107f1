"""What the demo models learn to do with a picture: name its shape, or find the pixels of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.demo.evaluate import (
    MASK_LABELS,
    confusion,
    intersection_over_union,
    pixel_values,
    pixel_values_and_masks,
    processor_for,
)
from mobilevit_deploy.demo.shapes import CLASSES, Sample
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
    MobileViTModel,
)
from mobilevit_deploy.model.deeplabv3 import segmentation_loss

DemoModel = MobileViTForImageClassification | MobileViTForSemanticSegmentation

LABEL_SMOOTHING = 0.05
IGNORED = 255


class TaskName(StrEnum):
    """What ``--task`` takes."""

    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"


@dataclass(frozen=True)
class Schedule:
    """How a task is trained.

    Attributes:
        pictures: how many, unless the command line says otherwise.
        first: number of the first of them.
        sizes: side of the pictures -> its share of them, in this order.
        ramp: share of the training in which the pictures grow from bold to as hard as the held-out ones.
        peak_learning_rate: after the warm-up.
    """

    pictures: int
    first: int
    sizes: Mapping[int, float]
    ramp: float
    peak_learning_rate: float


class DemoTask(Protocol):
    """One kind of model and how it learns."""

    schedule: ClassVar[Schedule]
    measure: ClassVar[str]

    def new_model(self, backbone: Path | None) -> DemoModel:
        """Return the model before its training: fresh, but for the weights of ``backbone``, if any."""
        ...

    def examples(self, samples: Sequence[Sample], image_size: int) -> tuple[Tensor, Tensor]:
        """Return pictures preprocessed as for deployment, [b, 3, image_size, image_size], and the truth."""
        ...

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the scalar to minimise."""
        ...

    def score(self, logits: Tensor, truth: Tensor) -> float:
        """Return how good the answers are, from 0 to 1: ``measure``."""
        ...


class Classification:
    """A classifier, trained from scratch."""

    # Hard pictures from the start leave the loss at that of guessing for tens of thousands of pictures.
    # A picture at 256 costs as much as ten at 64.
    schedule: ClassVar[Schedule] = Schedule(
        pictures=164_000,
        first=0,
        sizes={64: 0.14, 96: 0.41, 128: 0.17, 256: 0.28},
        ramp=0.4,
        peak_learning_rate=3e-3,
    )
    measure: ClassVar[str] = "top-1"

    def new_model(self, backbone: Path | None) -> MobileViTForImageClassification:
        """Return a model with the weights of ``backbone``, or fresh ones."""
        # Every picture is new, so there is nothing for dropout to prevent.
        config = MobileViTConfig.preset(
            "xxs", id2label=dict(enumerate(CLASSES)), hidden_dropout_prob=0.0, classifier_dropout_prob=0.0
        )
        model = MobileViTForImageClassification(config)
        if backbone is not None:
            model.mobilevit.load_state_dict(MobileViTModel.from_pretrained(backbone).state_dict())
        return model

    def examples(self, samples: Sequence[Sample], image_size: int) -> tuple[Tensor, Tensor]:
        """Return pictures and their labels [b]."""
        labels = torch.tensor([sample.label for sample in samples])
        return pixel_values(processor_for(image_size), samples), labels

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the cross entropy."""
        return F.cross_entropy(logits, truth, label_smoothing=LABEL_SMOOTHING)

    def score(self, logits: Tensor, truth: Tensor) -> float:
        """Return the share of right answers."""
        return (logits.argmax(1) == truth).double().mean().item()


class Segmentation:
    """A segmenter whose backbone has learned to classify."""

    # Numbered so that they are not the ones the backbone has seen; hard at once, since it knows the shapes.
    schedule: ClassVar[Schedule] = Schedule(
        pictures=96_000,
        first=1_000_000_000,
        sizes={128: 0.85, 256: 0.15},
        ramp=0.0,
        peak_learning_rate=2e-3,
    )
    measure: ClassVar[str] = "mIoU"

    def new_model(self, backbone: Path | None) -> MobileViTForSemanticSegmentation:
        """Return a model with the weights of ``backbone`` under a fresh head."""
        config = MobileViTConfig.preset(
            "xxs",
            id2label=dict(enumerate(MASK_LABELS)),
            output_stride=16,
            # Half the published 6, 12 and 18, as the picture has half the side of those it was published
            # for (512): on a map of 16x16 cells, all taps but one of a rate of 18 would see padding.
            atrous_rates=(3, 6, 9),
            hidden_dropout_prob=0.0,
            classifier_dropout_prob=0.0,
            aspp_dropout_prob=0.0,
        )
        model = MobileViTForSemanticSegmentation(config)
        if backbone is not None:
            known = MobileViTModel.from_pretrained(backbone, expand_output=False)
            model.mobilevit.load_state_dict(known.state_dict())
        return model

    def examples(self, samples: Sequence[Sample], image_size: int) -> tuple[Tensor, Tensor]:
        """Return pictures and their masks [b, image_size, image_size]."""
        return pixel_values_and_masks(processor_for(image_size), samples)

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the cross entropy of every pixel."""
        return segmentation_loss(logits, truth, ignore_index=IGNORED)

    def score(self, logits: Tensor, truth: Tensor) -> float:
        """Return the mIoU at the resolution of the logits: rougher than at the picture's, and for free."""
        cells = F.interpolate(truth[:, None].float(), size=logits.shape[-2:], mode="nearest-exact")
        scores = intersection_over_union(confusion(logits, cells[:, 0].long()))
        return scores.nanmean().item()


TASKS: Mapping[TaskName, DemoTask] = {
    TaskName.CLASSIFICATION: Classification(),
    TaskName.SEGMENTATION: Segmentation(),
}
