"""Measure a model on the held-out pictures: ``python -m mobilevit_deploy.demo.evaluate [CHECKPOINT]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.demo import DEMOS
from mobilevit_deploy.demo.shapes import CLASSES, Sample, generate
from mobilevit_deploy.image import MobileViTImageProcessor

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from mobilevit_deploy.model import MobileViTForImageClassification, MobileViTForSemanticSegmentation

HELD_OUT = 1200
BILINEAR = 2

MASK_LABELS = ("background", *CLASSES)
"""The labels of a mask, in the order of a segmenter's logits."""


@dataclass(frozen=True)
class Scores:
    """How good a model is at each class.

    Attributes:
        measure: ``top-1`` or ``IoU``.
        by_class: from 0 to 1.
    """

    measure: str
    by_class: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean over the classes: the top-1 of all pictures, for each has as many; or the mIoU."""
        return sum(self.by_class.values()) / len(self.by_class)


def processor_for(image_size: int = 256) -> MobileViTImageProcessor:
    """Return the published preprocessing: at 256, resize to 288, bilinear, and crop the centre."""
    return MobileViTImageProcessor(
        size={"shortest_edge": image_size * 9 // 8}, resample=BILINEAR, crop_size=image_size
    )


def pixel_values(processor: MobileViTImageProcessor, samples: Sequence[Sample]) -> Tensor:
    """Return the model's input for some pictures: [count, 3, size, size], BGR, 0 to 1."""
    from PIL import Image

    pictures = [Image.fromarray(sample.image) for sample in samples]
    values: Tensor = processor.preprocess(pictures, return_tensors="pt")["pixel_values"]
    return values


def pixel_values_and_masks(
    processor: MobileViTImageProcessor, samples: Sequence[Sample]
) -> tuple[Tensor, Tensor]:
    """Return the model's input [count, 3, size, size] and its masks [count, size, size], int64.

    The masks are resized (nearest neighbour) and cropped with their pictures.
    """
    from PIL import Image

    pictures = [Image.fromarray(sample.image) for sample in samples]
    maps = [Image.fromarray(sample.mask) for sample in samples]
    prepared = processor.preprocess(pictures, segmentation_maps=maps, return_tensors="pt")
    return prepared["pixel_values"], prepared["labels"]


def evaluate(
    model: MobileViTForImageClassification | MobileViTForSemanticSegmentation,
    processor: MobileViTImageProcessor,
    *,
    count: int = HELD_OUT,
) -> Scores:
    """Measure a classifier's top-1 accuracy, or a segmenter's IoU, on the first ``count`` held-out pictures.

    ``count`` must be a multiple of the number of shapes, which come in turn.
    """
    from mobilevit_deploy.model import MobileViTForImageClassification

    if isinstance(model, MobileViTForImageClassification):
        return top1(model, processor, count=count)
    return iou(model, processor, count=count)


def top1(model: MobileViTForImageClassification, processor: MobileViTImageProcessor, *, count: int) -> Scores:
    """Return the share of right answers of each class."""
    import torch

    right = dict.fromkeys(CLASSES, 0)
    with torch.inference_mode():
        for samples in _held_out_batches(count):
            answers = model(pixel_values(processor, samples)).logits.argmax(1).tolist()
            for sample, answer in zip(samples, answers, strict=True):
                right[CLASSES[sample.label]] += answer == sample.label
    return Scores("top-1", {name: hits * len(CLASSES) / count for name, hits in right.items()})


def iou(model: MobileViTForSemanticSegmentation, processor: MobileViTImageProcessor, *, count: int) -> Scores:
    """Return the intersection over union of each class, background included.

    The logits are enlarged to the preprocessed picture, 256x256 for the bundled model (bilinear), and the
    largest is the answer. Every pixel of all pictures counts once in one confusion matrix.
    """
    import torch

    table = torch.zeros(len(MASK_LABELS), len(MASK_LABELS), dtype=torch.int64)
    with torch.inference_mode():
        for samples in _held_out_batches(count):
            pixels, masks = pixel_values_and_masks(processor, samples)
            table += confusion(model(pixels).logits, masks)
    return Scores("IoU", dict(zip(MASK_LABELS, intersection_over_union(table).tolist(), strict=True)))


def confusion(logits: Tensor, masks: Tensor) -> Tensor:
    """Count the pixels of each pair (true class, answered class).

    Args:
        logits: [b, classes, h, w]; enlarged to the size of the masks.
        masks: [b, height, width], int64.

    Returns:
        [classes, classes], int64.
    """
    import torch.nn.functional as F

    classes = logits.shape[1]
    answers = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False).argmax(1)
    pairs = masks * classes + answers
    return pairs.flatten().bincount(minlength=classes * classes).reshape(classes, classes)


def intersection_over_union(table: Tensor) -> Tensor:
    """Return the IoU [classes] of a table by ``confusion``; NaN for a class neither true nor answered."""
    both = table.diagonal().double()
    return both / (table.sum(0) + table.sum(1) - both)


def _held_out_batches(count: int) -> Iterator[list[Sample]]:
    for first in range(0, count, len(CLASSES)):
        yield [generate(first + k, split="heldout") for k in range(len(CLASSES))]


def table_of(scores: Scores) -> Table:
    """Return the scores of each class and their mean as a table for the terminal."""
    from rich.table import Table

    lines = Table("class", f"held-out {scores.measure}", title="Held-out pictures")
    for name, score in scores.by_class.items():
        lines.add_row(name, f"{score:.1%}")
    lines.add_section()
    lines.add_row("mean", f"{scores.mean:.2%}")
    return lines


def main(
    checkpoint: Annotated[str, typer.Argument(help=f"A folder, a hub id, or {' or '.join(DEMOS)}.")] = "demo",
    count: Annotated[int, typer.Option(min=len(CLASSES), help="Held-out pictures.")] = HELD_OUT,
) -> None:
    """Print the top-1 accuracy or the IoU of a checkpoint on the demo's held-out pictures."""
    from rich.console import Console

    from mobilevit_deploy.reference import load_model

    reference = load_model(checkpoint)
    whole = count - count % len(CLASSES)
    Console().print(table_of(evaluate(reference.model, reference.preprocess.to_processor(), count=whole)))


if __name__ == "__main__":
    typer.run(main)
