"""Measure a model on the held-out pictures: ``python -m mobilevit_deploy.demo.evaluate [FOLDER]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.demo.shapes import CLASSES, Sample, generate
from mobilevit_deploy.image import MobileViTImageProcessor

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from mobilevit_deploy.model import MobileViTForImageClassification

HELD_OUT = 1200
BILINEAR = 2


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


def evaluate(
    model: MobileViTForImageClassification,
    processor: MobileViTImageProcessor,
    *,
    count: int = HELD_OUT,
) -> dict[str, float]:
    """Return the top-1 accuracy of each class on the first ``count`` held-out pictures.

    ``count`` must be a multiple of the number of classes, which come in turn.
    """
    import torch

    right = dict.fromkeys(CLASSES, 0)
    with torch.inference_mode():
        for first in range(0, count, len(CLASSES)):
            samples = [generate(first + k, split="heldout") for k in range(len(CLASSES))]
            answers = model(pixel_values(processor, samples)).logits.argmax(1).tolist()
            for sample, answer in zip(samples, answers, strict=True):
                right[CLASSES[sample.label]] += answer == sample.label
    return {name: hits * len(CLASSES) / count for name, hits in right.items()}


def table(accuracy: Mapping[str, float]) -> Table:
    """Return the accuracy of each class and of all pictures as a table for the terminal."""
    from rich.table import Table

    lines = Table("class", "held-out top-1", title="Held-out pictures")
    for name, top1 in accuracy.items():
        lines.add_row(name, f"{top1:.1%}")
    lines.add_section()
    lines.add_row("all", f"{sum(accuracy.values()) / len(accuracy):.2%}")
    return lines


def main(
    folder: Annotated[Path | None, typer.Argument(help="A checkpoint; the bundled one if left out.")] = None,
    count: Annotated[int, typer.Option(min=len(CLASSES), help="Held-out pictures.")] = HELD_OUT,
) -> None:
    """Print the top-1 accuracy of a checkpoint on the demo's held-out pictures."""
    from rich.console import Console

    from mobilevit_deploy.model import MobileViTForImageClassification

    folder = folder or demo_checkpoint()
    model = MobileViTForImageClassification.from_pretrained(folder)
    processor = MobileViTImageProcessor.from_pretrained(folder)
    Console().print(table(evaluate(model, processor, count=count - count % len(CLASSES))))


if __name__ == "__main__":
    typer.run(main)
