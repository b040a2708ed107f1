from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mobilevit_deploy.demo.evaluate import evaluate, pixel_values, processor_for
from mobilevit_deploy.demo.shapes import CLASSES, generate


def always(label: int) -> Any:
    """Return a stand-in for a model that gives every picture the same answer."""

    def model(pixels: Tensor) -> SimpleNamespace:
        logits = torch.zeros(len(pixels), len(CLASSES))
        logits[:, label] = 1.0
        return SimpleNamespace(logits=logits)

    return model


def test_a_model_with_one_answer_is_right_on_that_class_alone() -> None:
    star = CLASSES.index("star")
    accuracy = evaluate(always(star), processor_for(), count=2 * len(CLASSES))
    assert accuracy == {name: float(name == "star") for name in CLASSES}


def test_pixel_values_are_resized_cropped_and_bgr() -> None:
    sample = generate(0)
    values = pixel_values(processor_for(256), [sample])
    assert values.shape == (1, 3, 256, 256)
    resized = Image.fromarray(sample.image).resize((288, 288), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[16:272, 16:272, ::-1].transpose(2, 0, 1) / np.float32(255)
    torch.testing.assert_close(values[0], torch.from_numpy(expected), rtol=0, atol=1e-6)
