from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.demo import shapes
from mobilevit_deploy.demo.outlines import outline
from mobilevit_deploy.demo.shapes import CLASSES, MARGIN, Sample, Split, generate, held_out

indices = st.integers(min_value=0, max_value=10**9)
splits = st.sampled_from(["train", "heldout"])


def fingerprint(sample: Sample) -> str:
    return hashlib.sha256(sample.image.tobytes() + sample.mask.tobytes()).hexdigest()


@settings(max_examples=40, deadline=None)
@given(index=indices, split=splits, image_size=st.integers(min_value=32, max_value=300))
def test_any_index_of_any_split_gives_a_labelled_picture_with_its_mask(
    index: int, split: Split, image_size: int
) -> None:
    sample = generate(index, split=split, image_size=image_size)
    assert sample.image.shape == (image_size, image_size, 3)
    assert sample.image.dtype == np.uint8
    assert sample.mask.shape == (image_size, image_size)
    assert sample.mask.dtype == np.uint8
    assert sample.label == index % len(CLASSES)
    assert set(np.unique(sample.mask)) == {0, sample.label + 1}


@settings(max_examples=10, deadline=None)
@given(index=indices, split=splits)
def test_the_same_index_is_the_same_picture(index: int, split: Split) -> None:
    first, second = (generate(index, split=split, image_size=64) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)


def test_another_process_draws_the_same_pictures() -> None:
    program = (
        "import hashlib; from mobilevit_deploy.demo.shapes import generate\n"
        "for index in range(24):\n"
        "    sample = generate(index, split='heldout', image_size=64)\n"
        "    print(hashlib.sha256(sample.image.tobytes() + sample.mask.tobytes()).hexdigest())"
    )
    theirs = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours = [fingerprint(sample) for sample in held_out(24, image_size=64)]
    assert theirs.stdout.split() == ours


def test_splits_and_indices_differ() -> None:
    pictures = [
        generate(index, split=split, image_size=64) for split in ("train", "heldout") for index in range(36)
    ]
    assert len({fingerprint(sample) for sample in pictures}) == len(pictures)


def test_the_held_out_set_has_as_many_pictures_of_every_class() -> None:
    counts = Counter(sample.label for sample in held_out(60, image_size=32))
    assert counts == dict.fromkeys(range(len(CLASSES)), 5)


def test_a_larger_picture_shows_the_same_scene() -> None:
    for index in range(24):
        small = generate(index, image_size=96)
        large = generate(index, image_size=192)
        halved = large.mask.reshape(96, 2, 96, 2).max(axis=(1, 3))
        agreement = np.mean((small.mask > 0) == (halved > 0))
        assert agreement > 0.97


def test_the_mask_lies_where_the_picture_differs_from_one_without_the_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drawn once more with the shape left out, a picture changes inside the mask and nowhere else."""
    fill = shapes._fill

    def fill_and_undo(canvas: Image.Image, *arguments: Any) -> None:
        before = canvas.copy()
        fill(canvas, *arguments)  # the same random numbers are drawn
        canvas.paste(before)

    for index in range(24):
        sample = generate(index, image_size=128, difficulty=0.6)
        with monkeypatch.context() as patch:
            patch.setattr(shapes, "_fill", fill_and_undo)
            empty = generate(index, image_size=128, difficulty=0.6)
        changed = np.abs(sample.image.astype(int) - empty.image).max(axis=2) > 8
        assert changed[sample.mask > 0].mean() > 0.9
        assert changed[_far_from(sample.mask)].mean() < 0.01


def _far_from(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels more than one away from the mask: its rim is half shape, half background."""
    padded = np.pad(mask > 0, 1)
    near = [padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx]
            for dy in (-1, 0, 1) for dx in (-1, 0, 1)]  # fmt: skip
    far: NDArray[np.bool_] = ~np.logical_or.reduce(near)
    return far


def test_most_of_every_shape_survives_the_crop_of_preprocessing() -> None:
    for index in range(60):
        mask = generate(index, split="heldout", image_size=144).mask > 0
        edge = round(144 * MARGIN)
        assert mask[edge:-edge, edge:-edge].sum() > 0.85 * mask.sum()


def test_shapes_come_small_and_large() -> None:
    shares = [np.count_nonzero(generate(index, image_size=64).mask) / 64**2 for index in range(120)]
    assert min(shares) < 0.04
    assert max(shares) > 0.25


def test_the_easy_end_shows_large_shapes_that_nothing_hides() -> None:
    # A circle of half the side covers 20 % of the picture.
    for index in range(0, 120, len(CLASSES)):
        mask = generate(index, image_size=64, difficulty=0.0).mask
        assert np.count_nonzero(mask) / mask.size > 0.2 * 0.9


@pytest.mark.parametrize("label", range(len(CLASSES)), ids=CLASSES)
def test_every_outline_fits_the_unit_circle_and_nearly_fills_it(label: int) -> None:
    for seed in range(5):
        filled, _ = outline(label, np.random.default_rng(seed))
        assert 0.9 < np.linalg.norm(filled, axis=1).max() < 1.05


@pytest.mark.parametrize(
    ("index", "image_size", "difficulty"), [(-1, 64, 1.0), (0, 31, 1.0), (0, 64, -0.1), (0, 64, 1.1)]
)
def test_impossible_requests_are_refused(index: int, image_size: int, difficulty: float) -> None:
    with pytest.raises(ValueError, match="index must be"):
        generate(index, image_size=image_size, difficulty=difficulty)
