from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mobilevit_deploy.demo.evaluate import (
    MASK_LABELS,
    Scores,
    confusion,
    intersection_over_union,
    iou,
    main,
    pixel_values,
    pixel_values_and_masks,
    processor_for,
    top1,
)
from mobilevit_deploy.demo.shapes import CLASSES, generate


def always(label: int, *, of: int, size: tuple[int, ...] = ()) -> Any:
    """Return a stand-in for a model that gives every picture, or every cell of it, the same answer."""

    def model(pixels: Tensor) -> SimpleNamespace:
        logits = torch.zeros(len(pixels), of, *size)
        logits[:, label] = 1.0
        return SimpleNamespace(logits=logits)

    return model


def test_a_classifier_with_one_answer_is_right_on_that_class_alone() -> None:
    star = CLASSES.index("star")
    scores = top1(always(star, of=len(CLASSES)), processor_for(), count=2 * len(CLASSES))
    assert scores.by_class == {name: float(name == "star") for name in CLASSES}
    assert scores.mean == pytest.approx(1 / len(CLASSES))


def test_a_segmenter_that_sees_background_alone_has_its_share_of_the_pixels_as_iou() -> None:
    processor = processor_for(64)
    count = len(CLASSES)
    scores = iou(always(0, of=len(MASK_LABELS), size=(4, 4)), processor, count=count)
    samples = [generate(k, split="heldout") for k in range(count)]
    _, masks = pixel_values_and_masks(processor, samples)
    assert scores.by_class["background"] == pytest.approx((masks == 0).double().mean().item())
    assert all(scores.by_class[name] == 0 for name in CLASSES)


def test_iou_is_intersection_over_union_of_all_pixels_together() -> None:
    masks = torch.tensor([[[0, 0, 1, 1]], [[2, 2, 2, 0]]])
    answers = torch.tensor([[[0, 1, 1, 1]], [[2, 2, 0, 0]]])
    logits = torch.nn.functional.one_hot(answers, 4).permute(0, 3, 1, 2).float()
    scores = intersection_over_union(confusion(logits, masks))
    assert scores[:3].tolist() == pytest.approx([2 / 4, 2 / 3, 2 / 3])
    assert scores[3].isnan()  # neither true nor answered


def test_logits_are_enlarged_smoothly_before_they_are_compared() -> None:
    logits = torch.tensor([[[[0.0, 0.0]], [[-1.0, 3.0]]]])  # class 1 wins in the right cell, and by far
    table = confusion(logits, torch.zeros(1, 1, 8, dtype=torch.int64))
    # Linear from -1 at pixel 1.5 to 3 at pixel 5.5: above zero from pixel 2.5 on.
    assert table[0].tolist() == [3, 5]


def test_pixel_values_are_resized_cropped_and_bgr() -> None:
    sample = generate(0)
    values = pixel_values(processor_for(256), [sample])
    assert values.shape == (1, 3, 256, 256)
    resized = Image.fromarray(sample.image).resize((288, 288), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[16:272, 16:272, ::-1].transpose(2, 0, 1) / np.float32(255)
    torch.testing.assert_close(values[0], torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_masks_are_cut_like_their_pictures_and_keep_their_classes() -> None:
    sample = generate(3)
    values, masks = pixel_values_and_masks(processor_for(256), [sample])
    torch.testing.assert_close(values, pixel_values(processor_for(256), [sample]), rtol=0, atol=0)
    resized = Image.fromarray(sample.mask).resize((288, 288), Image.Resampling.NEAREST)
    assert masks.dtype == torch.int64
    assert np.array_equal(masks[0].numpy(), np.asarray(resized)[16:272, 16:272])


@pytest.mark.parametrize(
    ("source", "measure", "rows"), [("demo", "top-1", CLASSES), ("demo-segmentation", "IoU", MASK_LABELS)]
)
def test_the_command_prints_the_score_of_every_class(
    source: str, measure: str, rows: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main(source, count=len(CLASSES))
    printed = capsys.readouterr().out
    assert f"held-out {measure}" in printed
    for row in (*rows, "mean"):
        assert re.search(rf"\b{row}\b.*\d+\.\d+%", printed), row


def test_the_mean_is_over_classes() -> None:
    assert Scores("IoU", {"background": 1.0, "circle": 0.5}).mean == 0.75
