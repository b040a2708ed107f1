"""Segmentation maps and class scores are processed as transformers' image processor does."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.models.mobilevit.image_processing_pil_mobilevit import MobileViTImageProcessorPil

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image import MobileViTFeatureExtractor, MobileViTImageProcessor
from mobilevit_deploy.image.resize import resize

APPLE: dict[str, Any] = {"size": {"shortest_edge": 288}, "crop_size": 256, "resample": 2}


def ours(images: Any, maps: Any, **fields: Any) -> Any:
    return MobileViTImageProcessor(**fields)(images, maps, return_tensors="np")


def assert_equal_to_published(images: Any, maps: Any, **fields: Any) -> None:
    actual = ours(images, maps, **fields)
    # The published processor writes into the arrays that it is given.
    expected = MobileViTImageProcessorPil(**fields)(images, _copy(maps), return_tensors="np")
    assert list(actual) == list(expected) == ["pixel_values", "labels"]
    assert actual.labels.dtype == expected["labels"].dtype == np.int64
    assert np.array_equal(actual.labels, expected["labels"])
    alone = MobileViTImageProcessor(**fields)(images, return_tensors="np")
    assert np.array_equal(actual.pixel_values, alone.pixel_values)


def _copy(maps: Any) -> Any:
    if isinstance(maps, list):
        return [_copy(one) for one in maps]
    return maps.clone() if isinstance(maps, torch.Tensor) else maps.copy()


def classes_of(picture: Image.Image) -> NDArray[np.uint8]:
    """A ragged map of 21 classes and unlabeled pixels: the picture's brightness in steps."""
    steps = np.asarray(picture.convert("L")) // 12
    return np.where(steps == 20, 255, steps).astype(np.uint8)


@pytest.fixture(scope="module")
def classes(photograph: Image.Image) -> NDArray[np.uint8]:
    return classes_of(photograph)


class TestMapsEqualThePublished:
    @pytest.mark.parametrize("reduce", [False, True])
    def test_photographs_as_apple_prepares_them(
        self, photographs: dict[str, Image.Image], reduce: bool
    ) -> None:
        pictures = list(photographs.values())
        maps = [classes_of(picture) for picture in pictures]
        assert_equal_to_published(pictures, maps, do_reduce_labels=reduce, **APPLE)

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"size": 199, "crop_size": 200},
            {"size": {"height": 301, "width": 97}},
            {"size": 40, "crop_size": (31, 128)},
            {"do_resize": False},
            {"do_center_crop": False},
            {"do_resize": False, "do_center_crop": False},
            {"do_rescale": False, "do_flip_channel_order": False},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("reduce", [False, True])
    def test_every_field(
        self, photograph: Image.Image, classes: NDArray[np.uint8], fields: dict[str, Any], reduce: bool
    ) -> None:
        assert_equal_to_published(photograph, classes, do_reduce_labels=reduce, **fields)

    @given(
        width=st.integers(5, 400),
        height=st.integers(5, 400),
        edge=st.integers(5, 300),
        crop=st.tuples(st.integers(1, 300), st.integers(1, 300)),
        reduce=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
    )
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_every_size(
        self, width: int, height: int, edge: int, crop: tuple[int, int], reduce: bool, seed: int
    ) -> None:
        edge = min(edge, max(1, 1500 * min(width, height) // max(width, height)))  # published: no giants
        noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
        picture = Image.new("RGB", (width, height))
        assert_equal_to_published(picture, noise, size=edge, crop_size=crop, do_reduce_labels=reduce)

    def test_every_form_of_a_map(self, photograph: Image.Image, classes: NDArray[np.uint8]) -> None:
        forms = [
            Image.fromarray(classes),
            photograph.quantize(21),  # a palette: the numbers are its indices
            Image.fromarray(classes > 9),
            classes.astype(np.int64),
            classes.astype(np.float32),
            torch.from_numpy(classes),
            torch.from_numpy(classes).long(),
        ]
        for form in forms:
            assert_equal_to_published(photograph, form, **APPLE)
            assert_equal_to_published([photograph, photograph], [form, form], **APPLE)
        for batch in (np.stack([classes, classes]), torch.from_numpy(np.stack([classes, classes]))):
            assert_equal_to_published([photograph, photograph], batch, **APPLE)
        assert_equal_to_published(photograph, classes[None], **APPLE)


class TestMapsBeyondThePublished:
    def test_files_and_bytes(
        self, photograph: Image.Image, classes: NDArray[np.uint8], tmp_path: Path
    ) -> None:
        file = tmp_path / "map.png"
        Image.fromarray(classes).save(file)
        expected = ours(photograph, classes).labels
        for source in (file, str(file), file.read_bytes(), [file]):
            assert np.array_equal(ours(photograph, source).labels, expected)

    def test_more_than_256_classes(self, photograph: Image.Image, classes: NDArray[np.uint8]) -> None:
        many = classes.astype(np.int32) * 1000
        expected = ours(photograph, classes).labels.astype(np.int64) * 1000
        for form in (many, Image.fromarray(many)):
            assert np.array_equal(ours(photograph, form).labels, expected)
        sixteen_bit = Image.fromarray(classes.astype(np.uint16) * 200)
        assert np.array_equal(
            ours(photograph, sixteen_bit).labels, ours(photograph, classes).labels.astype(np.int64) * 200
        )

    def test_strips_are_processed_within_the_crop_only(self) -> None:
        strip = np.zeros((1, 30_000), np.uint8)
        strip[:, 15_000:] = 7
        labels = ours(Image.new("RGB", (30_000, 1)), strip, **APPLE).labels
        assert (labels[0, :, :128] == 0).all()
        assert (labels[0, :, 128:] == 7).all()

    def test_the_part_of_a_strip_agrees_with_the_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        strip = Image.fromarray(np.random.default_rng(0).integers(0, 21, (33, 4000)).astype(np.int32))
        whole = resize(strip, {"shortest_edge": 288}, Image.Resampling.NEAREST, (256, 300))
        monkeypatch.setattr("mobilevit_deploy.image.resize.MAX_RESIZED_PIXELS", 256 * 300)
        part = resize(strip, {"shortest_edge": 288}, Image.Resampling.NEAREST, (256, 300))
        assert (part != whole).mean() < 0.005  # ties round otherwise: one column of 300

    def test_a_map_belongs_to_the_upright_picture(self, photograph: Image.Image, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        photograph.save(tmp_path / "rotated.jpg", exif=exif)
        upright = np.zeros((photograph.width, photograph.height), np.uint8)
        assert ours(tmp_path / "rotated.jpg", upright).labels.shape == (1, 256, 256)
        with pytest.raises(ImageError, match=r"451x300 belongs to no picture of 300x451.*upright"):
            ours(tmp_path / "rotated.jpg", upright.T)

    def test_arguments_are_left_as_they_were(
        self, photograph: Image.Image, classes: NDArray[np.uint8]
    ) -> None:
        before = classes.copy()
        plain = ours(photograph, classes, do_resize=False, do_center_crop=False, do_reduce_labels=True)
        plain.labels[:] = 3
        assert np.array_equal(classes, before)


class TestLabels:
    def test_are_a_list_an_array_or_a_tensor(
        self, photograph: Image.Image, classes: NDArray[np.uint8]
    ) -> None:
        processor = MobileViTImageProcessor()
        (listed,) = processor.preprocess(photograph, segmentation_maps=classes).labels
        tensor = processor(photograph, classes, return_tensors="pt").labels
        assert listed.shape == (256, 256)
        assert tensor.dtype == torch.int64
        assert np.array_equal(tensor[0].numpy(), listed)

    def test_reduced_by_hand(self) -> None:
        classes = np.array([[0, 1, 2], [254, 255, 150]], np.uint8)
        unchanged = {"do_resize": False, "do_center_crop": False}
        picture = Image.new("RGB", (3, 2))
        reduced = ours(picture, [classes], do_reduce_labels=True, **unchanged).labels
        assert reduced.tolist() == [[[255, 0, 1], [253, 255, 149]]]
        assert np.array_equal(ours(picture, [classes], **unchanged).labels[0], classes)

    def test_may_be_reduced_for_one_call(self, photograph: Image.Image, classes: NDArray[np.uint8]) -> None:
        processor = MobileViTImageProcessor()
        reduced = processor(photograph, classes, return_tensors="np", do_reduce_labels=True).labels
        assert np.array_equal(reduced, ours(photograph, classes, do_reduce_labels=True).labels)


class TestBadMaps:
    PICTURE = Image.new("RGB", (40, 30))

    @pytest.mark.parametrize(
        ("maps", "message"),
        [
            (np.zeros((40, 30), np.uint8), "map of 30x40 belongs to no picture of 40x30"),
            (Image.new("L", (20, 15)), "map of 20x15 belongs to no picture of 40x30"),
            (np.zeros((30, 40, 3), np.uint8), r"shape \(30, 40, 3\) has channels"),
            (torch.zeros((30, 40, 4)), r"shape \(30, 40, 4\) has channels"),
            ([np.zeros((30, 40, 1), np.uint8)], r"shape \(30, 40, 1\) has channels"),
            (Image.new("RGB", (40, 30)), "mode RGB has 3 channels"),
            (Image.new("LA", (40, 30)), "mode LA has 2 channels"),
            (np.zeros((3, 30, 40), np.uint8), "maps: 3, pictures: 1"),
            ([np.zeros((30, 40), np.uint8)] * 2, "maps: 2, pictures: 1"),
            (np.zeros(40, np.uint8), r"shape \(40,\) is no segmentation map"),
            (np.full((30, 40), 0.5), "float64 holds other than whole numbers"),
            (np.full((30, 40), np.nan), "whole numbers"),
            (np.full((30, 40), "cat"), "whole numbers"),
            (np.full((30, 40), -1), r"holds -1 to -1.*without a label are 255"),
            (np.full((30, 40), 2**40), "no class numbers"),
            ("missing.png", r"no file 'missing\.png'"),
            (b"nonsense", "not a picture"),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,  # no addresses
    )
    def test_are_refused(self, maps: Any, message: str) -> None:
        with pytest.raises(ImageError, match=message):
            ours(self.PICTURE, maps)

    def test_too_few(self) -> None:
        with pytest.raises(ImageError, match="maps: 1, pictures: 2"):
            ours([self.PICTURE] * 2, [np.zeros((30, 40), np.uint8)])

    @pytest.mark.parametrize("maps", [3, [3], {"map": 1}], ids=str)
    def test_what_is_no_map_at_all(self, maps: Any) -> None:
        with pytest.raises(TypeError, match="is no segmentation map"):
            ours(self.PICTURE, maps)

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        Image.effect_noise((40, 30), 9).save(tmp_path / "map.png")
        cut = (tmp_path / "map.png").read_bytes()[:300]
        with pytest.raises(ImageError, match="cannot be decoded"):
            ours(self.PICTURE, cut)


def outputs(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> SimpleNamespace:
    return SimpleNamespace(logits=torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype))


class TestPostProcess:
    def post_process(self, *args: Any, **options: Any) -> tuple[list[Any], list[Any]]:
        return (
            MobileViTImageProcessor().post_process_semantic_segmentation(*args, **options),
            MobileViTImageProcessorPil().post_process_semantic_segmentation(*args, **options),
        )

    @given(
        batch=st.integers(1, 3),
        labels=st.integers(1, 25),
        height=st.integers(1, 33),
        width=st.integers(1, 33),
        data=st.data(),
    )
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_equals_the_published(
        self, batch: int, labels: int, height: int, width: int, data: st.DataObject
    ) -> None:
        edge = st.integers(1, 150)
        sizes = data.draw(st.none() | st.lists(st.tuples(edge, edge), min_size=batch, max_size=batch))
        actual, expected = self.post_process(outputs(batch, labels, height, width), sizes)
        assert len(actual) == len(expected) == batch
        for ours_, theirs in zip(actual, expected, strict=True):
            assert ours_.dtype == theirs.dtype == torch.int64
            assert torch.equal(ours_, theirs)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
    def test_every_dtype(self, dtype: torch.dtype) -> None:
        actual, expected = self.post_process(outputs(1, 21, 16, 16, dtype=dtype), [(101, 67)])
        assert torch.equal(actual[0], expected[0])

    def test_sizes_as_tensor_and_array(self) -> None:
        sizes = torch.tensor([[30, 41], [17, 8]])
        actual, expected = self.post_process(outputs(2, 5, 8, 8), sizes)
        again = MobileViTImageProcessor().post_process_semantic_segmentation(
            outputs(2, 5, 8, 8), sizes.numpy()
        )
        for maps in (actual, again):
            assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))

    @pytest.mark.parametrize("sizes", [None, [(31, 20), (9, 64)]])
    def test_scores_too(self, sizes: Any) -> None:
        actual, expected = self.post_process(
            outputs(2, 5, 8, 8), target_sizes=sizes, return_segmentation_scores=True
        )
        for ours_, theirs in zip(actual, expected, strict=True):
            assert torch.equal(ours_.segmentation, theirs.segmentation)
            assert torch.equal(ours_.segmentation_scores, theirs.segmentation_scores)

    def test_logits_of_a_runtime(self) -> None:
        torch_outputs = outputs(1, 5, 8, 8)
        (expected,) = MobileViTImageProcessor().post_process_semantic_segmentation(torch_outputs, [(20, 20)])
        arrays = SimpleNamespace(logits=torch_outputs.logits.numpy())
        (actual,) = MobileViTImageProcessor().post_process_semantic_segmentation(arrays, [(20, 20)])
        assert torch.equal(actual, expected)

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ([(10, 10)], "1 sizes and the logits 2 pictures"),
            ([(10, 10)] * 3, "3 sizes and the logits 2 pictures"),
            (torch.zeros(0, 2), "0 sizes and the logits 2 pictures"),
            ((10, 10), r"\(height, width\) pairs of pixels, not 10"),
            ([(10, 10, 3)] * 2, r"not \(10, 10, 3\)"),
            ([(10, 0)] * 2, r"not \(10, 0\)"),
            ([(10.5, 3)] * 2, r"not \(10\.5, 3\)"),
            (["ab", "cd"], "not 'ab'"),
        ],
        ids=str,
    )
    def test_sizes_that_do_not_fit(self, sizes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MobileViTImageProcessor().post_process_semantic_segmentation(outputs(2, 5, 8, 8), sizes)

    def test_a_classifiers_logits(self) -> None:
        with pytest.raises(
            ValueError, match=r"\(1, 1000\) are a classifier's: .*\(batch, labels, height, width"
        ):
            MobileViTImageProcessor().post_process_semantic_segmentation(outputs(1, 1000))
        with pytest.raises(ValueError, match=r"\(21, 8, 8\) are no segmenter's"):
            MobileViTImageProcessor().post_process_semantic_segmentation(outputs(21, 8, 8))

    def test_what_has_no_logits(self) -> None:
        with pytest.raises(TypeError, match="Tensor has no logits"):
            MobileViTImageProcessor().post_process_semantic_segmentation(torch.zeros(1, 5, 8, 8))


class TestFeatureExtractor:
    """The deprecated name: warns, and does what the image processor does."""

    def test_warns_and_works(self, photograph: Image.Image, classes: NDArray[np.uint8]) -> None:
        with pytest.warns(FutureWarning, match="Use MobileViTImageProcessor") as caught:
            extractor = MobileViTFeatureExtractor(size=100, do_reduce_labels=True)
        assert caught[0].filename == __file__
        assert isinstance(extractor, MobileViTImageProcessor)
        expected = ours(photograph, classes, size=100, do_reduce_labels=True)
        actual = extractor(photograph, classes, return_tensors="np")
        assert np.array_equal(actual.pixel_values, expected.pixel_values)
        assert np.array_equal(actual.labels, expected.labels)

    def test_reads_and_writes_the_processors_file(self, tmp_path: Path) -> None:
        MobileViTImageProcessor(size=99).save_pretrained(tmp_path)
        with pytest.warns(FutureWarning, match="deprecated"):
            extractor = MobileViTFeatureExtractor.from_pretrained(tmp_path)
        assert type(extractor) is MobileViTFeatureExtractor
        written = json.loads(extractor.save_pretrained(tmp_path / "again").read_text())
        assert written == MobileViTImageProcessor(size=99).to_dict()
