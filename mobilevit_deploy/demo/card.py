"""The model card of a demo checkpoint: what it is, how it was made, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass

from mobilevit_deploy.demo.evaluate import Scores
from mobilevit_deploy.demo.shapes import CLASSES

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: {pipeline_tag}
---

# {title} on generated shapes

A small trained model for demonstrations and tests of mobilevit-deploy where no model hub can be reached. It
{does} that a program drew over crops of photographs.
**It is no ImageNet model, and of no use on other pictures**: for those, take `{instead}`.

|   |   |
|---|---|
| architecture | {architecture}, {parameters:,} parameters, stored as float16 |
| input | 256x256, BGR, 0 to 1: resize to 288 (bilinear), crop the centre, as for the published checkpoints |
| started from | {start} |
| training | {pictures:,} generated pictures, none shown twice, over the left two thirds of photographs |
| made by | `{command}` |
| it took | {minutes:.0f} minutes on {machine} |
| held-out {mean_name} | **{mean:.2%}** on {held_out:,} generated pictures over their right third |

| class | held-out {measure} |
|---|---|
{rows}

{meaning}

Training again from the same seed gives other last digits on another machine, and so results that differ a
little. Measure it again with `python -m mobilevit_deploy.demo.evaluate {source}`.
"""

_CLASSIFICATION = {
    "pipeline_tag": "image-classification",
    "title": "MobileViT-XXS",
    "does": f"tells {len(CLASSES)} shapes apart",
    "instead": "apple/mobilevit-xx-small",
    "architecture": "MobileViT-XXS (arXiv 2110.02178)",
    "mean_name": "top-1",
    "source": "demo",
    "meaning": """\
A person would be right on nearly every picture. The model, small and briefly trained, is not quite:
translucent, textured or partly hidden shapes, clutter and look-alikes mislead it now and then, so that a
mistake in an export shows in the accuracy. How hard the pictures are was chosen by looking at held-out ones:
the accuracy says that the model works, not how well it generalises.""",
}

_SEGMENTATION = {
    "pipeline_tag": "image-segmentation",
    "title": "MobileViT-XXS with DeepLabV3",
    "does": f"finds the pixels of {len(CLASSES)} kinds of shapes",
    "instead": "apple/deeplabv3-mobilevit-xx-small",
    "architecture": "MobileViT-XXS (arXiv 2110.02178), output stride 16, and DeepLabV3's head with atrous "
    "rates 3, 6 and 9",
    "mean_name": "mIoU",
    "source": "demo-segmentation",
    "meaning": """\
IoU is intersection over union: the logits (16x16) are enlarged to the preprocessed picture (256x256,
bilinear), the largest is the answer, the truth is the mask resized (nearest neighbour) and cropped with its
picture, and every pixel of all pictures counts once in one confusion matrix. The mIoU is the mean over all
classes, background among them ({shapes:.2%} without it).""",
}


@dataclass(frozen=True)
class Origin:
    """How a checkpoint came about."""

    pictures: int
    command: str
    backbone: str | None
    minutes: float
    machine: str


def model_card(scores: Scores, *, origin: Origin, held_out: int, parameters: int) -> str:
    """Return the card as Markdown."""
    words = dict(_CLASSIFICATION if scores.measure == "top-1" else _SEGMENTATION)
    shapes = [scores.by_class[name] for name in CLASSES]
    words["meaning"] = words["meaning"].format(shapes=sum(shapes) / len(shapes))
    return _CARD.format(
        **words,
        parameters=parameters,
        start=f"the backbone of {origin.backbone}" if origin.backbone else "random weights",
        pictures=origin.pictures,
        command=origin.command,
        minutes=origin.minutes,
        machine=origin.machine,
        mean=scores.mean,
        held_out=held_out,
        measure=scores.measure,
        rows="\n".join(f"| {name} | {score:.0%} |" for name, score in scores.by_class.items()),
    )
