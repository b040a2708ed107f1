"""The model card of the demo checkpoint: what it is, how it was made, and how often it is right."""

from __future__ import annotations

from collections.abc import Mapping

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-classification
---

# MobileViT-XXS on generated shapes

A small trained model for demonstrations and tests of mobilevit-deploy where no model hub can be reached. It
tells {classes} shapes apart that a program drew over crops of photographs. **It is no ImageNet model, and of
no use on other pictures**: for those, take `apple/mobilevit-xx-small`.

|   |   |
|---|---|
| architecture | MobileViT-XXS (arXiv 2110.02178), {parameters:,} parameters, stored as float16 |
| input | 256x256, BGR, 0 to 1: resize to 288 (bilinear), crop the centre, as for the published checkpoints |
| training | {pictures:,} generated pictures, none shown twice, over the left two thirds of photographs |
| made by | `{command}` |
| it took | {minutes:.0f} minutes on {machine} |
| held-out top-1 | **{top1:.2%}** on {held_out:,} generated pictures over their right third |

| class | held-out top-1 |
|---|---|
{rows}

A person would be right on nearly every picture. The model, small and briefly trained, is not:
translucent, textured or partly hidden shapes, clutter and look-alikes keep many of its decisions close,
so that a mistake in an export shows in the accuracy. Training again from the same seed gives other last
digits on another machine, and so an accuracy that differs a little.

Measure it again with `python -m mobilevit_deploy.demo.evaluate`.
"""


def model_card(
    *,
    accuracy: Mapping[str, float],
    held_out: int,
    parameters: int,
    pictures: int,
    command: str,
    minutes: float,
    machine: str,
) -> str:
    """Return the card as Markdown; ``accuracy`` is the held-out top-1 of each class."""
    return _CARD.format(
        classes=len(accuracy),
        parameters=parameters,
        pictures=pictures,
        command=command,
        minutes=minutes,
        machine=machine,
        top1=sum(accuracy.values()) / len(accuracy),
        held_out=held_out,
        rows="\n".join(f"| {name} | {top1:.0%} |" for name, top1 in accuracy.items()),
    )
