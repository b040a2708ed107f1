"""What the peers' tools are given: transformers' model, an example, and pictures to calibrate with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

IMAGE_SIZE = 256
SHAPE = (1, 3, IMAGE_SIZE, IMAGE_SIZE)
"""Of ``pixel_values``."""

CALIBRATION = 128
"""Generated pictures of the training split. The photographs come on top: as many as our own exports get."""


def transformers_model(checkpoint: Path) -> nn.Module:
    """transformers' MobileViT, giving its logits alone."""
    import torch
    from torch import nn
    from transformers import MobileViTForImageClassification

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # Not in the type of the file: the bundled weights are stored in halves.
            self.model = MobileViTForImageClassification.from_pretrained(checkpoint, dtype=torch.float32)

        def forward(self, pixel_values: Tensor) -> Any:
            return self.model(pixel_values).logits

    return Logits().eval()


def example() -> tuple[Tensor]:
    """The arguments to trace with."""
    import torch

    return (torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)),)


def calibration(checkpoint: Path) -> Iterator[NDArray[np.float32]]:
    """``pixel_values`` [1, 3, height, width], one picture after the other."""
    from mobilevit_deploy import load_model
    from mobilevit_deploy.demo.photographs import parity_photographs
    from mobilevit_deploy.demo.shapes import generate

    preprocess = load_model(str(checkpoint)).preprocess
    for path in parity_photographs():
        yield preprocess.apply(path)
    for index in range(CALIBRATION):
        yield preprocess.apply(generate(index, split="train").image)
