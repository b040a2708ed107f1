"""The preprocessing that a manifest carries does what the processor does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.errors import ArtifactError, ImageError
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


def tensor(dtype: str, layout: str) -> TensorSpec:
    return TensorSpec(name="image", shape=(1, 256, 256, 3), dtype=dtype, layout=layout)


class TestForPictureInput:
    def test_only_resize_and_crop_are_left(self) -> None:
        assert spec().for_picture_input() == spec(rescale_factor=1, channel_order="RGB")

    def test_the_graph_finds_the_published_values_in_the_picture(self, photograph: Image.Image) -> None:
        levels = spec().for_picture_input().feed(photograph, tensor("uint8", "NHWC"))
        inside = levels[..., ::-1].transpose(0, 3, 1, 2).astype(np.float64) * spec().rescale_factor
        assert np.array_equal(inside.astype(np.float32), spec().apply(photograph))


class TestFeed:
    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_gives_the_dtype_and_layout_that_the_input_declares(
        self, photograph: Image.Image, dtype: str
    ) -> None:
        raw = spec().for_picture_input()
        expected = raw.apply(photograph)
        channels_first = raw.feed(photograph, tensor(dtype, "NCHW"))
        channels_last = raw.feed(photograph, tensor(dtype, "NHWC"))
        assert channels_first.dtype == channels_last.dtype == dtype
        assert channels_last.flags.c_contiguous
        assert channels_last.shape == (1, 256, 256, 3)
        assert np.array_equal(channels_first, expected)
        assert np.array_equal(channels_last, expected.transpose(0, 2, 3, 1))

    def test_scales_for_a_float_input(self, photograph: Image.Image) -> None:
        assert np.array_equal(spec().feed(photograph, tensor("float32", "NCHW")), spec().apply(photograph))

    def test_refuses_scaled_values_for_a_uint8_input(self, photograph: Image.Image) -> None:
        with pytest.raises(ArtifactError, match=r"'image' takes grey levels .* multiplies them by 0\.0039"):
            spec().feed(photograph, tensor("uint8", "NHWC"))

    @pytest.mark.parametrize(("dtype", "layout"), [("int64", "NHWC"), ("float32", "NC"), ("uint8", "NHW")])
    def test_refuses_inputs_that_are_no_pictures(
        self, photograph: Image.Image, dtype: str, layout: str
    ) -> None:
        with pytest.raises(ArtifactError, match=rf"{dtype} {layout}, and takes no picture"):
            spec(rescale_factor=1).feed(photograph, tensor(dtype, layout))


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
