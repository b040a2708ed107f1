"""The preprocessing that a manifest carries does what the processor does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image import MobileViTImageProcessor, PreprocessSpec

APPLE = {
    "resize_shortest_edge": 288,
    "resize_to": None,
    "resample": "bilinear",
    "crop": [256, 256],
    "rescale_factor": 1 / 255,
    "channel_order": "BGR",
}


def spec(**changes: Any) -> PreprocessSpec:
    return PreprocessSpec.model_validate({**APPLE, **changes})


def test_apples_processor_in_numbers() -> None:
    processor = MobileViTImageProcessor(size=288, crop_size=256, resample=2)
    assert json.loads(PreprocessSpec.from_processor(processor).model_dump_json()) == APPLE


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"size": 288, "resample": 2},
        {"size": {"height": 100, "width": 200}},
        {"size": (100, 200), "do_center_crop": False},
        {"do_resize": False},
        {"do_rescale": False, "do_flip_channel_order": False},
        {"rescale_factor": 0.5, "crop_size": (64, 128)},
        *({"resample": resample, "size": 80} for resample in range(6)),
    ],
    ids=str,
)
def test_survives_json_and_does_what_the_processor_does(
    photograph: Image.Image, fields: dict[str, Any]
) -> None:
    processor = MobileViTImageProcessor(**fields)
    read_back = PreprocessSpec.model_validate_json(PreprocessSpec.from_processor(processor).model_dump_json())
    expected = processor(photograph, return_tensors="np").pixel_values
    assert np.array_equal(read_back.apply(photograph), expected)
    assert PreprocessSpec.from_processor(read_back.to_processor()) == read_back


def test_apply_takes_files(photograph: Image.Image, tmp_path: Path) -> None:
    photograph.save(tmp_path / "cat.png")
    pixel_values = spec().apply(tmp_path / "cat.png")
    assert pixel_values.shape == (1, 3, 256, 256)
    assert pixel_values.dtype == np.float32
    with pytest.raises(ImageError, match=r"dog\.png"):
        spec().apply(tmp_path / "dog.png")


def test_the_input_size_is_the_crop_or_the_fixed_size(photograph: Image.Image) -> None:
    fixed = {"resize_shortest_edge": None, "resize_to": (288, 320)}
    for described in (spec(), spec(**fixed), spec(**fixed, crop=None)):
        assert described.apply(photograph).shape[2:] == described.input_size
    assert spec(crop=None).input_size is None


class TestForImageSize:
    @pytest.mark.parametrize(("size", "edge"), [(256, 288), (320, 360), (128, 144), (192, 216), (250, 281)])
    def test_squares_keep_the_ratio_of_resize_to_crop(self, size: int, edge: int) -> None:
        assert spec().for_image_size(size, size) == spec(resize_shortest_edge=edge, crop=(size, size))

    def test_oblongs_are_measured_by_their_longer_edge(self) -> None:
        assert spec().for_image_size(192, 320) == spec(resize_shortest_edge=360, crop=(192, 320))
        assert spec().for_image_size(320, 192) == spec(resize_shortest_edge=360, crop=(320, 192))

    @pytest.mark.parametrize("size", [(128, 128), (96, 320), (320, 96)])
    def test_no_picture_is_padded(self, size: tuple[int, int]) -> None:
        for shape in ((300, 300), (600, 200), (200, 600)):
            pixel_values = spec().for_image_size(*size).apply(Image.new("RGB", shape, "white"))
            assert pixel_values.shape == (1, 3, *size)
            assert pixel_values.min() == 1

    def test_without_a_crop_the_size_becomes_the_shortest_edge_and_the_crop(self) -> None:
        assert spec(crop=None).for_image_size(100, 120) == spec(resize_shortest_edge=120, crop=(100, 120))

    def test_a_fixed_size_scales_along_each_axis(self) -> None:
        fixed = spec(resize_shortest_edge=None, resize_to=(288, 320))
        assert fixed.for_image_size(128, 512) == spec(
            resize_shortest_edge=None, resize_to=(144, 640), crop=(128, 512)
        )
        uncropped = spec(resize_shortest_edge=None, resize_to=(288, 320), crop=None)
        assert uncropped.for_image_size(128, 512).resize_to == (128, 512)

    def test_without_resizing_only_the_crop_changes(self) -> None:
        unresized = spec(resize_shortest_edge=None)
        assert unresized.for_image_size(64, 96) == spec(resize_shortest_edge=None, crop=(64, 96))

    def test_the_original_stays(self) -> None:
        original = spec()
        original.for_image_size(64, 64)
        assert original == spec()
        with pytest.raises(ValidationError):
            original.crop = (1, 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"resize_to": (288, 288)},
        {"resample": "cubic"},
        {"channel_order": "GBR"},
        {"crop": (0, 256)},
        {"resize_shortest_edge": -1},
        {"rescale_factor": float("nan")},
        {"mean": [0.5, 0.5, 0.5]},
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**changes)
