"""The overlay shows which class is where, and the legend says which colour is which class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.demo.shapes import CLASSES, generate
from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image import PreprocessSpec, mask_to_picture
from mobilevit_deploy.image import legend as legend_module
from mobilevit_deploy.image.legend import Entry, with_legend
from mobilevit_deploy.image.overlay import overlay
from mobilevit_deploy.image.palette import palette

LABELS = ("background", "cat", "dog", "sofa")
WIDTH, HEIGHT = 800, 640


@pytest.fixture(scope="module")
def picture(photograph: Image.Image) -> Image.Image:
    """A photograph that is neither enlarged nor reduced."""
    return photograph.resize((WIDTH, HEIGHT))


@pytest.fixture
def mask() -> NDArray[np.int64]:
    """A dog of 100x200 pixels before nothing."""
    mask = np.zeros((HEIGHT, WIDTH), np.int64)
    mask[300:400, 200:400] = 2
    return mask


def drawn(picture: Any, mask: Any, labels: Any = LABELS) -> NDArray[np.int64]:
    return np.asarray(overlay(picture, mask, labels)).astype(np.int64)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Entry]]:
    """What the legend of the last overlay lists."""
    listed: list[Entry] = []

    def spy(painted: Image.Image, entries: list[Entry]) -> Image.Image:
        listed[:] = entries
        return with_legend(painted, entries)

    monkeypatch.setattr("mobilevit_deploy.image.overlay.with_legend", spy)
    return listed


class TestColours:
    def test_the_background_stays_as_it_was(self, picture: Image.Image, mask: NDArray[np.int64]) -> None:
        result = drawn(picture, mask)
        far = np.ones((HEIGHT, WIDTH), bool)
        far[295:405, 195:405] = False
        assert np.array_equal(result[:HEIGHT, :WIDTH][far], np.asarray(picture)[far])

    def test_a_class_is_tinted_and_its_outline_is_its_colour(
        self, picture: Image.Image, mask: NDArray[np.int64]
    ) -> None:
        result, before = drawn(picture, mask), np.asarray(picture).astype(np.int64)
        colour = palette(3)[1]  # the background takes none
        inside = (slice(310, 390), slice(210, 390))
        for edge in (result[300, 200:400], result[399, 200:400], result[300:400, 200], result[300:400, 399]):
            assert (edge == colour).all()
        distance = np.abs(result[inside] - colour).mean()
        assert 0.2 < distance / np.abs(before[inside] - colour).mean() < 0.6  # the picture shines through

    def test_a_thread_around_it_shows_the_outline_on_a_ground_of_its_colour(
        self, mask: NDArray[np.int64]
    ) -> None:
        result = drawn(Image.new("RGB", (WIDTH, HEIGHT), tuple(palette(3)[1].tolist())), mask)
        assert (result[299, 200:400] == 255).all()
        assert (result[300, 200:400] == palette(3)[1]).all()

    def test_a_speck_of_one_pixel_has_its_colour(self, picture: Image.Image) -> None:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[100, 100] = 3
        assert drawn(picture, mask)[100, 100].tolist() == palette(3)[2].tolist()

    def test_a_class_has_one_colour_in_all_pictures(self, picture: Image.Image) -> None:
        alone, among = np.zeros((2, HEIGHT, WIDTH), np.uint8)
        alone[:100] = among[:100] = 3
        among[200:300], among[400:500] = 1, 2
        assert np.array_equal(drawn(picture, alone)[:99, :WIDTH], drawn(picture, among)[:99, :WIDTH])

    def test_a_first_class_that_is_no_background_has_a_colour(
        self, picture: Image.Image, mask: NDArray[np.int64]
    ) -> None:
        result = drawn(picture, mask, ("wall", "floor", "sky"))
        assert (result[299, 200:400] == palette(3)[0]).all()
        assert (result[300, 200:400] == palette(3)[2]).all()
        clear = drawn(picture, mask, ("Background ", "floor", "sky"))
        assert np.array_equal(clear[0, :WIDTH], np.asarray(picture)[0])

    def test_what_has_no_label_is_dimmed(self, picture: Image.Image) -> None:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:100] = 255
        result, before = drawn(picture, mask), np.asarray(picture).astype(np.int64)
        assert np.abs(result[:98, :WIDTH] - before[:98] * 0.35).max() <= 1
        assert np.array_equal(result[102:HEIGHT, :WIDTH], before[102:])


class TestSizes:
    @pytest.mark.parametrize(
        ("size", "shown"),
        [
            ((16, 12), (640, 480)),
            ((640, 480), (640, 480)),
            ((4000, 3000), (1280, 960)),
            ((3000, 1), (1280, 1)),
            ((1, 1), (640, 640)),
        ],
    )
    def test_pictures_are_shown_in_640_to_1280_pixels(
        self, size: tuple[int, int], shown: tuple[int, int]
    ) -> None:
        blue = Image.new("RGB", size, (10, 20, 200))
        result = overlay(blue, np.zeros((size[1], size[0]), np.uint8), LABELS)
        assert result.width == shown[0]  # with the legend below it
        part = np.asarray(result)[: shown[1]]
        assert (part == (10, 20, 200)).all()
        assert (np.asarray(result)[shown[1]] == 255).all()

    def test_classes_are_enlarged_without_mixing(self) -> None:
        mask = np.array([[1, 2], [3, 1]])
        result = drawn(Image.new("RGB", (2, 2)), mask)
        for row, column, number in ((0, 0, 1), (0, 639, 2), (639, 0, 3), (319, 320, 2), (320, 320, 1)):
            tint = result[row, column] / max(1, result[row, column].max())
            expected = palette(3)[number - 1] / palette(3)[number - 1].max()
            assert np.abs(tint - expected).max() < 0.02


class TestLegend:
    def test_lists_what_is_there_by_share(self, picture: Image.Image, entries: list[Entry]) -> None:
        mask = np.full((HEIGHT, WIDTH), 255)
        mask[:100] = 0
        mask[100:150] = 3
        mask[150:500] = 1
        overlay(picture, mask, LABELS)
        assert [(entry.name, entry.share) for entry in entries] == [
            ("cat", "70.0 %"),
            ("sofa", "10.0 %"),
            ("background", "20.0 %"),
            ("no label", ""),
        ]
        assert [entry.colour for entry in entries][:3] == [
            tuple(palette(3)[0].tolist()),
            tuple(palette(3)[2].tolist()),
            None,
        ]

    def test_small_shares_are_not_said_to_be_none(self, picture: Image.Image, entries: list[Entry]) -> None:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[5, 5] = 1
        overlay(picture, mask, LABELS)
        assert [(entry.name, entry.share) for entry in entries] == [
            ("cat", "< 0.1 %"),
            ("background", "100.0 %"),
        ]

    def test_shows_the_colours(self, picture: Image.Image, mask: NDArray[np.int64]) -> None:
        legend = drawn(picture, mask)[HEIGHT:].reshape(-1, 3)
        shown = {tuple(colour) for colour in np.unique(legend, axis=0).tolist()}
        dog, cat = (tuple(palette(3)[i].tolist()) for i in (1, 0))
        assert dog in shown
        assert cat not in shown

    def test_stands_beside_tall_pictures_and_below_others(self) -> None:
        entries = [Entry("cat", (255, 0, 0), "10.0 %"), Entry("dog", (0, 0, 255), "90.0 %")]
        tall, wide, square = (Image.new("RGB", size) for size in ((300, 900), (900, 300), (640, 640)))
        assert with_legend(tall, entries).height == 900
        assert with_legend(wide, entries).width == 900
        assert with_legend(square, entries).width == 640
        assert with_legend(tall, entries * 100).height > 900  # too many to stand beside

    @given(
        size=st.tuples(st.integers(1, 1280), st.integers(1, 1280)),
        names=st.lists(st.text(max_size=60), min_size=1, max_size=200),
        share=st.sampled_from(["", "< 0.1 %", "100.0 %"]),
    )
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_nothing_is_cut_off(self, size: tuple[int, int], names: list[str], share: str) -> None:
        longest = max(size)
        size = (max(1, size[0] * 640 // longest), max(1, size[1] * 640 // longest))
        red = Image.new("RGB", size, (255, 0, 0))
        result = with_legend(red, [Entry(name, (0, 90, 0), share) for name in names])
        pixels = np.asarray(result)
        assert (np.all(pixels == (255, 0, 0), axis=-1).sum()) == size[0] * size[1]
        ink = ~(np.all(pixels == 255, axis=-1) | np.all(pixels == (255, 0, 0), axis=-1))
        rows, columns = np.nonzero(ink)
        assert rows.max() < result.height - 4
        assert columns.max() < result.width - 4
        assert np.all(pixels == (0, 90, 0), axis=-1).sum() > 100 * len(names)

    def test_letters_are_readable_on_a_phone(self) -> None:
        """A screen is some 390 points wide; text should have 10 or more."""
        sizes: list[int] = []
        load = legend_module.ImageFont.load_default
        for size in ((640, 480), (1280, 960), (720, 1280), (1280, 40)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(legend_module.ImageFont, "load_default", lambda s: sizes.append(s) or load(s))
                result = with_legend(Image.new("RGB", size), [Entry("dog", None, "90.0 %")] * 5)
            assert sizes[-1] * max(390 / result.width, 0) >= 10


class TestEndToEnd:
    def test_a_demo_picture_from_the_models_input_back(self) -> None:
        sample = generate(3, split="heldout")
        how = PreprocessSpec(
            resize_shortest_edge=144,
            resample="bilinear",
            crop=(128, 128),
            rescale_factor=1.0,
            channel_order="RGB",
        )
        predicted = how.to_processor()(
            Image.fromarray(sample.image), sample.mask, return_tensors="np"
        ).labels[0]
        laid = mask_to_picture(predicted, how, sample.mask.shape)
        seen = laid != 255
        assert (laid[seen] == sample.mask[seen]).mean() > 0.99
        result = drawn(sample.image, laid, ["background", *CLASSES])
        assert result.shape[0] > result.shape[1] == 640
        colour = palette(len(CLASSES))[sample.label]
        assert (result[:640] == colour).all(axis=-1).any()

    def test_files_and_rotated_photographs(self, photograph: Image.Image, tmp_path: Any) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        photograph.save(tmp_path / "cat.jpg", exif=exif)
        upright = np.ones((photograph.width, photograph.height), np.uint8)
        Image.fromarray(upright).save(tmp_path / "mask.png")
        result = overlay(tmp_path / "cat.jpg", tmp_path / "mask.png", LABELS)
        assert result.height == 640  # tall, so that the legend stands beside it
        assert np.array_equal(np.asarray(result), drawn(tmp_path / "cat.jpg", upright))


class TestBadInput:
    def test_a_mask_of_another_size(self, picture: Image.Image) -> None:
        with pytest.raises(ImageError, match="256x256 belongs to no picture of 800x640"):
            overlay(picture, np.zeros((256, 256), np.uint8), LABELS)

    def test_classes_without_a_label(self, picture: Image.Image, mask: NDArray[np.int64]) -> None:
        with pytest.raises(ImageError, match="holds class 2, and there are labels for 2 classes"):
            overlay(picture, mask, LABELS[:2])
        with pytest.raises(ImageError, match="holds class 2, and there are labels for 0 classes"):
            overlay(picture, np.full_like(mask, 2), ())

    def test_too_many_classes(self, picture: Image.Image, mask: NDArray[np.int64]) -> None:
        with pytest.raises(ImageError, match="256 classes"):
            overlay(picture, mask, list(map(str, range(256))))
        overlay(picture, mask, list(map(str, range(255))))

    def test_no_picture(self, mask: NDArray[np.int64]) -> None:
        with pytest.raises(ImageError, match="no file"):
            overlay("missing.jpg", mask, LABELS)
