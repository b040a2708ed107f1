"""The image processor gives what transformers' gives, and where that one does not, what a user expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.models.mobilevit.image_processing_pil_mobilevit import MobileViTImageProcessorPil

from mobilevit_deploy.errors import CheckpointError, ImageError, OutputError
from mobilevit_deploy.image import MobileViTImageProcessor
from mobilevit_deploy.image.resize import resize

GREY_LEVEL = 1 / 255
APPLE: dict[str, Any] = {
    "size": {"shortest_edge": 288},
    "crop_size": {"height": 256, "width": 256},
    "resample": 2,
}


def ours(images: Any, **fields: Any) -> NDArray[np.float32]:
    return MobileViTImageProcessor(**fields)(images, return_tensors="np").pixel_values


def published(images: Any, **fields: Any) -> NDArray[np.float32]:
    return MobileViTImageProcessorPil(**fields)(images, return_tensors="np").pixel_values


def assert_equal_to_published(images: Any, **fields: Any) -> None:
    expected = published(images, **fields)
    actual = ours(images, **fields)
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    level = GREY_LEVEL if fields.get("do_rescale", True) else 1
    assert np.abs(actual - expected.astype(np.float32)).max() <= level * 1.001


@pytest.fixture(scope="module")
def pixels(photograph: Image.Image) -> NDArray[np.uint8]:
    return np.array(photograph)


class TestEqualToPublished:
    def test_photographs_as_apple_prepares_them(self, photographs: dict[str, Image.Image]) -> None:
        assert_equal_to_published(list(photographs.values()), **APPLE)

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"size": 199, "crop_size": 200},
            {"size": {"height": 301, "width": 97}},
            {"size": (64, 301), "crop_size": (33, 260)},
            {"size": {"shortest_edge": 40}, "crop_size": {"height": 31, "width": 128}},
            {"do_resize": False},
            {"do_center_crop": False, **APPLE},
            {"do_resize": False, "do_center_crop": False},
            {"do_rescale": False, **APPLE},
            {"rescale_factor": 2 / 255, **APPLE},
            {"do_flip_channel_order": False, **APPLE},
            *({"resample": filter_number, "size": 100} for filter_number in range(6)),
        ],
        ids=str,
    )
    def test_every_field(self, photograph: Image.Image, fields: dict[str, Any]) -> None:
        assert_equal_to_published(photograph, **fields)

    @given(
        width=st.integers(1, 700),
        height=st.integers(1, 700),
        edge=st.integers(1, 300),
        crop=st.tuples(st.integers(1, 300), st.integers(1, 300)),
        resample=st.sampled_from([2, 3]),
        seed=st.integers(0, 2**32 - 1),
    )
    @settings(max_examples=80, deadline=None, derandomize=True)
    def test_every_size(
        self, width: int, height: int, edge: int, crop: tuple[int, int], resample: int, seed: int
    ) -> None:
        edge = min(
            edge, max(1, 1500 * min(width, height) // max(width, height))
        )  # keep the published one quick
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert_equal_to_published(Image.fromarray(noise), size=edge, crop_size=crop, resample=resample)

    def test_arrays_and_tensors(self, pixels: NDArray[np.uint8]) -> None:
        channels_first = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        for image in (pixels, channels_first, torch.from_numpy(pixels), torch.from_numpy(channels_first)):
            assert_equal_to_published(image, **APPLE)
            assert_equal_to_published([image, image], **APPLE)
            assert_equal_to_published(
                np.stack([image, image]) if isinstance(image, np.ndarray) else image[None]
            )

    def test_larger_integers_that_hold_grey_levels(self, pixels: NDArray[np.uint8]) -> None:
        assert_equal_to_published(pixels.astype(np.int64), **APPLE)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_floats_that_hold_grey_levels(self, pixels: NDArray[np.uint8], dtype: type) -> None:
        assert_equal_to_published(pixels.astype(dtype), **APPLE)

    def test_floats_from_0_to_1(self, pixels: NDArray[np.uint8]) -> None:
        unit = np.random.default_rng(0).random(pixels.shape, dtype=np.float32)
        assert_equal_to_published(unit, do_rescale=False, **APPLE)
        assert_equal_to_published(pixels / 255, do_rescale=False, **APPLE)

    def test_normalised_floats_pass_when_nothing_is_resized(self) -> None:
        normalised = np.random.default_rng(0).standard_normal((3, 200, 301)).astype(np.float32)
        assert_equal_to_published(normalised, do_resize=False, do_rescale=False)
        assert ours(normalised, do_resize=False, do_rescale=False).min() < 0

    def test_three_rows_are_read_as_three_channels_with_a_warning(self, pixels: NDArray[np.uint8]) -> None:
        with pytest.warns(UserWarning, match=r"\(3, 40, 3\).*taken to be first"):
            assert_equal_to_published(pixels[:3, :40], **APPLE)


class TestOutput:
    def test_is_blue_green_red_unless_told_otherwise(self) -> None:
        orange = Image.new("RGB", (300, 300), (255, 128, 0))
        bgr = ours(orange)[0, :, 128, 128]
        rgb = ours(orange, do_flip_channel_order=False)[0, :, 128, 128]
        assert bgr == pytest.approx([0, 128 / 255, 1])
        assert rgb == pytest.approx([1, 128 / 255, 0])

    def test_is_a_list_an_array_or_a_tensor(self, photograph: Image.Image) -> None:
        processor = MobileViTImageProcessor()
        listed = processor([photograph, photograph])
        array = processor([photograph, photograph], return_tensors="np")
        tensor = processor([photograph, photograph], return_tensors="pt")
        assert [values.shape for values in listed.pixel_values] == [(3, 256, 256)] * 2
        assert array.pixel_values.shape == (2, 3, 256, 256)
        assert tensor.pixel_values.dtype == torch.float32
        assert np.array_equal(tensor["pixel_values"].numpy(), array["pixel_values"])

    def test_unpacks_into_a_models_arguments(self, photograph: Image.Image) -> None:
        features = MobileViTImageProcessor().preprocess(photograph, return_tensors="np")
        assert list(dict(**features)) == ["pixel_values"]
        assert not hasattr(features, "labels")

    def test_other_kinds_of_tensors_are_refused(self, photograph: Image.Image) -> None:
        with pytest.raises(ValueError, match="jax"):
            MobileViTImageProcessor()(photograph, return_tensors="jax")  # type: ignore[arg-type]

    def test_different_sizes_make_a_list_but_no_batch(self, photograph: Image.Image) -> None:
        processor = MobileViTImageProcessor(do_center_crop=False)
        images = [photograph, photograph.rotate(90, expand=True)]
        assert [values.shape for values in processor(images).pixel_values] == [(3, 224, 336), (3, 336, 224)]
        with pytest.raises(ImageError, match="224x336, 336x224"):
            processor(images, return_tensors="np")

    def test_fields_may_be_overridden_for_one_call(self, photograph: Image.Image) -> None:
        processor = MobileViTImageProcessor()
        overridden = processor(
            photograph, return_tensors="np", crop_size=64, size=72, resample=2, do_rescale=None
        )
        assert np.array_equal(overridden.pixel_values, ours(photograph, crop_size=64, size=72, resample=2))
        assert processor.crop_size == {"height": 256, "width": 256}

    def test_an_unknown_override_is_a_type_error(self, photograph: Image.Image) -> None:
        with pytest.raises(TypeError, match="do_centre_crop"):
            MobileViTImageProcessor()(photograph, do_centre_crop=False)


class TestWhatUsersHave:
    def test_files_and_bytes(self, photograph: Image.Image, tmp_path: Path) -> None:
        file = tmp_path / "cat.png"
        photograph.save(file)
        expected = ours(photograph)
        for image in (file, str(file), file.read_bytes(), [file]):
            assert np.array_equal(ours(image), expected)

    def test_nested_lists_are_flattened(self, photograph: Image.Image) -> None:
        assert ours([[photograph], [photograph, photograph]]).shape == (3, 3, 256, 256)

    def test_grey_arrays_become_three_equal_channels(self, pixels: NDArray[np.uint8]) -> None:
        grey = pixels[..., 1]
        expected = ours(np.stack([grey] * 3, axis=-1))
        for image in (grey, grey[..., None], grey[None], Image.fromarray(grey), torch.from_numpy(grey)):
            assert np.array_equal(ours(image), expected)
        with pytest.warns(UserWarning, match="already rescaled"):
            assert ours(grey / 255, do_resize=False).shape == (1, 3, 256, 256)

    def test_transparent_arrays_are_laid_over_white(self, pixels: NDArray[np.uint8]) -> None:
        alpha = np.zeros((*pixels.shape[:2], 1), np.uint8)
        alpha[:, : pixels.shape[1] // 2] = 255
        over_white = np.where(alpha == 255, pixels, 255).astype(np.uint8)
        rgba = np.concatenate([pixels, alpha], axis=-1)
        assert np.array_equal(ours(rgba), ours(over_white))
        unit = ours(rgba / 255, do_rescale=False)
        assert np.abs(unit - ours(over_white / 255, do_rescale=False)).max() <= GREY_LEVEL
        assert np.array_equal(ours(rgba.astype(np.float32)), ours(over_white))

    def test_sixteen_bit_arrays_are_scaled_and_not_clipped(self, pixels: NDArray[np.uint8]) -> None:
        assert np.array_equal(ours(pixels.astype(np.uint16) * 257), ours(pixels))

    def test_booleans_are_black_and_white(self) -> None:
        checks = np.indices((300, 300)).sum(axis=0) // 100 % 2 == 1
        assert np.array_equal(ours(checks), ours(checks * np.uint8(255)))

    def test_half_precision_and_graph_tensors(self, pixels: NDArray[np.uint8]) -> None:
        levels = torch.from_numpy(pixels.copy())
        assert np.array_equal(ours(levels.to(torch.bfloat16)), ours(pixels.astype(np.float32)))
        assert np.array_equal(ours(levels.float().requires_grad_()), ours(pixels))

    def test_grey_levels_with_fractions_are_accepted(self, pixels: NDArray[np.uint8]) -> None:
        assert np.abs(ours(pixels * 0.999) - ours(pixels)).max() <= 2 * GREY_LEVEL

    def test_rows_of_one_pixel(self) -> None:
        row = np.arange(30, dtype=np.uint8).reshape(1, 10, 3)
        assert np.array_equal(ours(row), ours(Image.fromarray(row)))

    def test_floats_from_0_to_1_with_rescaling_warn(self, pixels: NDArray[np.uint8]) -> None:
        with pytest.warns(UserWarning, match="already rescaled") as caught:
            MobileViTImageProcessor()(pixels / 255)
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            MobileViTImageProcessor()(pixels)
            MobileViTImageProcessor()(np.zeros((50, 50, 3)))
            MobileViTImageProcessor(do_rescale=False)(pixels / 255)

    def test_arguments_are_left_as_they_were(self, pixels: NDArray[np.uint8]) -> None:
        before = pixels.copy()
        ours(pixels, do_resize=False, do_center_crop=False)[:] = 7
        assert np.array_equal(pixels, before)


class TestExtremes:
    def test_one_pixel(self) -> None:
        for image in (Image.new("RGB", (1, 1), (10, 20, 30)), np.array([[[10, 20, 30]]], np.uint8)):
            assert ours(image)[0, :, 128, 128] * 255 == pytest.approx([30, 20, 10])

    @pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (2, 12_000)])
    def test_strips_are_processed_within_the_crop_only(self, shape: tuple[int, int]) -> None:
        """Resized as a whole, the first would take 10 GB."""
        strip = (
            np.linspace(0, 255, max(shape))
            .astype(np.uint8)[..., None, None]
            .repeat(min(shape), 1)
            .repeat(3, 2)
        )
        image = Image.fromarray(strip if shape[1] > shape[0] else strip.transpose(1, 0, 2).copy())
        assert ours(image, **APPLE).mean() == pytest.approx(0.5, abs=0.01)

    @pytest.mark.parametrize("resample", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize("size", [(40, 1500), (1500, 40), (4000, 33)])
    def test_the_part_agrees_with_the_whole(
        self, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], resample: int
    ) -> None:
        image = photograph.resize(size)
        whole = resize(image, {"shortest_edge": 288}, resample, (256, 300))
        monkeypatch.setattr("mobilevit_deploy.image.resize.MAX_RESIZED_PIXELS", 256 * 300)
        part = resize(image, {"shortest_edge": 288}, resample, (256, 300))
        difference = np.abs(whole.astype(int) - part)
        assert part.shape == whole.shape
        assert (difference > 1).mean() < 0.001

    def test_a_result_beyond_the_limit_is_an_error(self) -> None:
        strip = Image.new("RGB", (10_000, 1))
        with pytest.raises(ImageError, match="10000x1 would be resized to 2880000x288"):
            ours(strip, do_center_crop=False, size=288)


class TestBadInput:
    @pytest.mark.parametrize("shape", [(4,), (40, 50, 2), (40, 50, 5), (7, 40, 50), (2, 2, 2, 2, 3)])
    def test_shapes_that_are_no_picture(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ImageError, match="is no picture"):
            ours(np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("shape", [(0, 40, 3), (40, 0, 3), (0, 0), (3, 0, 40)])
    def test_no_pixels(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ImageError, match="no pixels"):
            ours(np.zeros(shape, np.uint8))
        with pytest.raises(ImageError, match="no pixels"):
            ours(Image.new("RGB", (0, 5)))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("do_resize", [True, False])
    def test_nan_and_infinity(self, value: float, do_resize: bool) -> None:
        image = np.full((40, 50, 3), 0.5)
        image[3, 4, 1] = value
        with pytest.raises(ImageError, match="1 of the 6000 pixel values"):
            ours(image, do_resize=do_resize)

    @pytest.mark.parametrize(
        "image",
        [
            np.full((40, 50, 3), 256),
            np.full((40, 50, 3), -1),
            np.full((40, 50, 3), 1e4),
            np.full((9, 9, 3), -0.5),
        ],
    )
    def test_values_that_are_no_grey_levels(self, image: NDArray[Any]) -> None:
        with pytest.raises(ImageError, match="from"):
            ours(image)

    def test_types_that_are_no_numbers(self) -> None:
        with pytest.raises(ImageError, match="complex"):
            ours(np.zeros((40, 50, 3), complex))

    @pytest.mark.parametrize("image", [None, 3, [[1, 2], [3, 4]], {"image": 1}])
    def test_things_that_are_no_pictures(self, image: Any) -> None:
        with pytest.raises(TypeError, match="is no picture"):
            ours(image)

    def test_an_empty_list(self) -> None:
        with pytest.raises(ValueError, match="no picture in the list"):
            ours([])

    @pytest.mark.parametrize(
        "fields",
        [
            {"size": {"shortest": 3}},
            {"size": {"height": 3}},
            {"size": 0},
            {"size": (1, 2, 3)},
            {"size": "288"},
            {"crop_size": {"shortest_edge": 256}},
            {"crop_size": -3},
            {"crop_size": (2.5, 3)},
            {"resample": 9},
            {"rescale_factor": float("nan")},
            {"rescale_factor": "1/255"},
        ],
        ids=str,
    )
    def test_fields_that_mean_nothing(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(fields)) if "resample" not in fields else "9"):
            MobileViTImageProcessor(**fields)


class TestConfigFile:
    def write(self, folder: Path, fields: Any) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "preprocessor_config.json").write_text(
            fields if isinstance(fields, str) else json.dumps(fields)
        )
        return folder

    def test_defaults_are_the_published_ones(self) -> None:
        expected = MobileViTImageProcessorPil().to_dict()
        assert MobileViTImageProcessor().to_dict().items() <= expected.items()

    def test_a_file_of_transformers_is_read_and_written_back(
        self, photograph: Image.Image, tmp_path: Path
    ) -> None:
        theirs = MobileViTImageProcessorPil(**APPLE, do_flip_channel_order=False)
        theirs.save_pretrained(tmp_path / "theirs")
        processor = MobileViTImageProcessor.from_pretrained(tmp_path / "theirs")
        written = processor.save_pretrained(tmp_path / "ours")
        assert written.read_text() == (tmp_path / "theirs" / written.name).read_text()
        again = MobileViTImageProcessorPil.from_pretrained(tmp_path / "ours")
        expected = again(photograph, return_tensors="np").pixel_values
        assert np.array_equal(processor(photograph, return_tensors="np").pixel_values, expected)

    def test_unknown_fields_survive(self, tmp_path: Path) -> None:
        unknown = {
            "feature_extractor_type": "MobileViTFeatureExtractor",
            "image_processor_type": "MobileViTImageProcessorFast",
            "something_new": {"a": [1, None]},
            "do_normalize": None,
        }
        folder = self.write(tmp_path / "in", {**MobileViTImageProcessor().to_dict(), **unknown})
        written = MobileViTImageProcessor.from_pretrained(folder).save_pretrained(tmp_path / "out")
        assert json.loads(written.read_text()) == json.loads((folder / written.name).read_text())

    def test_old_files_with_plain_numbers(self, tmp_path: Path) -> None:
        folder = self.write(
            tmp_path, {"size": 288, "crop_size": 256, "resample": 2, "do_reduce_labels": None}
        )
        processor = MobileViTImageProcessor.from_pretrained(folder)
        assert processor.size == {"shortest_edge": 288}
        assert processor.crop_size == {"height": 256, "width": 256}
        assert processor.do_reduce_labels is False

    def test_the_file_itself_and_overrides(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, {"size": 288}) / "preprocessor_config.json"
        processor = MobileViTImageProcessor.from_pretrained(str(file), do_flip_channel_order=False)
        assert processor.size == {"shortest_edge": 288}
        assert processor.do_flip_channel_order is False

    def test_beside_the_weights(self, tmp_path: Path) -> None:
        weights = self.write(tmp_path, {"size": 288}) / "model.safetensors"
        weights.write_bytes(b"")
        assert MobileViTImageProcessor.from_pretrained(weights).size == {"shortest_edge": 288}

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"no folder or file .*missing"):
            MobileViTImageProcessor.from_pretrained(tmp_path / "missing")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "cannot be read"),
            ("[1]", "no JSON object"),
            ('{"size": {"edge": 3}}', "size is an int"),
            ('{"resample": "bilinear"}', "bilinear"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path: Path, content: str, message: str) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            MobileViTImageProcessor.from_pretrained(self.write(tmp_path, content))
        assert "preprocessor_config.json" in str(caught.value)

    def test_a_folder_without_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"There is no preprocessor_config\.json in"):
            MobileViTImageProcessor.from_pretrained(tmp_path)

    def test_a_write_that_fails_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = MobileViTImageProcessor(size=100).save_pretrained(tmp_path).read_text()

        def full_disk(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full_disk)
        with pytest.raises(OutputError, match="No space left on device"):
            MobileViTImageProcessor(size=200).save_pretrained(tmp_path)
        assert [file.read_text() for file in tmp_path.iterdir()] == [before]

    def test_a_file_in_the_way_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        with pytest.raises(OutputError, match=r"Cannot write to .*taken"):
            MobileViTImageProcessor().save_pretrained(tmp_path / "taken")


def test_the_package_imports_nothing_heavy() -> None:
    check = (
        "import sys, mobilevit_deploy.image as image; "
        "heavy = {'torch', 'PIL', 'pydantic', 'numpy'}; "
        "assert not heavy & set(sys.modules); "
        "assert set(image.__all__) <= set(dir(image)); "
        "from PIL import Image; "
        "image.MobileViTImageProcessor()(Image.new('RGB', (9, 9)), return_tensors='np'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, env=os.environ)
    with pytest.raises(AttributeError, match="no_such_name"):
        __import__("mobilevit_deploy.image").image.no_such_name  # noqa: B018
