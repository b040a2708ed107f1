"""A mask of the model's input lands on the part of the picture that the model saw, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.image import PreprocessSpec, mask_to_picture
from mobilevit_deploy.image.resize import resized_size
from mobilevit_deploy.image.segmentation import UNLABELED


def spec(**changes: Any) -> PreprocessSpec:
    apple = {
        "resize_shortest_edge": 288,
        "resample": "bilinear",
        "crop": (256, 256),
        "rescale_factor": 1.0,
        "channel_order": "RGB",
    }
    return PreprocessSpec(**{**apple, **changes})


def of_input(classes: NDArray[np.integer[Any]], how: PreprocessSpec) -> NDArray[np.int64]:
    """What preprocessing makes of a map of the picture: the mask of a perfect model."""
    picture = Image.new("RGB", (classes.shape[1], classes.shape[0]))
    labels: NDArray[np.int64] = how.to_processor()(picture, classes, return_tensors="np").labels[0]
    return labels


def test_apples_crop_of_a_square_leaves_an_eighteenth_on_every_side() -> None:
    laid = mask_to_picture(np.ones((256, 256), np.uint8), spec(), (576, 576))
    assert laid.dtype == np.int32
    assert (laid[32:-32, 32:-32] == 1).all()
    assert np.count_nonzero(laid == UNLABELED) == 576**2 - 512**2


def test_the_ends_of_an_oblong_were_never_seen() -> None:
    laid = mask_to_picture(np.zeros((256, 256), np.uint8), spec(crop=(288, 288)), (300, 600))
    assert (laid[:, 150:450] == 0).all()
    assert (laid[:, :150] == UNLABELED).all()
    assert (laid[:, 450:] == UNLABELED).all()


def test_without_a_crop_all_was_seen() -> None:
    mask = np.arange(6).reshape(2, 3)
    laid = mask_to_picture(mask, spec(resize_shortest_edge=None, resize_to=(64, 96), crop=None), (4, 6))
    assert laid.tolist() == mask.repeat(2, axis=0).repeat(2, axis=1).tolist()
    untouched = spec(resize_shortest_edge=None, crop=None)
    assert np.array_equal(mask_to_picture(mask, untouched, (2, 3)), mask)


def test_what_padding_added_is_cut_off_again() -> None:
    mask = np.full((256, 256), 9)
    mask[78:178, 88:168] = np.arange(80)
    laid = mask_to_picture(mask, spec(resize_shortest_edge=None), (100, 80))
    assert np.array_equal(laid, np.broadcast_to(np.arange(80), (100, 80)))


@given(
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    enlarged=st.integers(0, 150),
    crop=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_undoes_preprocessing_where_that_loses_nothing(
    height: int, width: int, enlarged: int, crop: tuple[int, int], seed: int
) -> None:
    """Enlarging keeps every pixel, so that each comes back; unless it was cut off."""
    classes = np.random.default_rng(seed).integers(0, 21, (height, width))
    how = spec(resize_shortest_edge=min(height, width) + enlarged, crop=crop)
    laid = mask_to_picture(of_input(classes, how), how, (height, width))
    seen = laid != UNLABELED
    assert np.array_equal(laid[seen], classes[seen])
    resized = resized_size(height, width, {"shortest_edge": min(height, width) + enlarged})
    for axis, (have, kept, pixels) in enumerate(zip(resized, crop, (height, width), strict=True)):
        share = min(1.0, kept / have)
        assert abs(seen.any(axis=1 - axis).sum() - share * pixels) <= 2 or not seen.any()


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (2000, 90), (1024, 1024)])
def test_photographs_of_any_shape_agree_but_for_the_borders_of_classes(size: tuple[int, int]) -> None:
    rows, columns = np.indices(size)
    classes = (rows * 5 // size[0]) * 4 + columns * 4 // size[1]
    laid = mask_to_picture(of_input(classes, spec()), spec(), size)
    seen = laid != UNLABELED
    assert (laid[seen] == classes[seen]).mean() > 0.97


def test_coarse_masks_cover_the_same_region() -> None:
    coarse = np.arange(16 * 16).reshape(16, 16) % 21
    fine = coarse.repeat(16, axis=0).repeat(16, axis=1)
    for size in ((300, 451), (97, 31)):
        assert np.array_equal(mask_to_picture(coarse, spec(), size), mask_to_picture(fine, spec(), size))


@pytest.mark.parametrize("shape", [(1, 4, 4), (4,), (0, 4)])
def test_what_is_no_mask(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a mask is \(height, width\)"):
        mask_to_picture(np.zeros(shape, np.uint8), spec(), (10, 10))
    with pytest.raises(ValueError, match="no pixels"):
        mask_to_picture(np.zeros((4, 4), np.uint8), spec(), (0, 10))
