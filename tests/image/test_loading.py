"""``load_image`` shows every kind of picture as a viewer would."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image import MobileViTImageProcessor, load_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(image: Image.Image, expected: Image.Image | NDArray[np.uint8]) -> float:
    """Mean absolute difference in grey levels."""
    assert image.mode == "RGB"
    return float(np.abs(np.asarray(image).astype(int) - np.asarray(expected)).mean())


def png(pixels: NDArray[np.integer], colour_type: int, bits: int, transparent: bytes = b"") -> bytes:
    """Write a PNG file of a kind that Pillow reads but does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colour_type, 0, 0, 0)
    extra = chunk(b"tRNS", transparent) if transparent else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG", "WEBP", "GIF"])
def test_files_bytes_and_images_give_the_same(photograph: Image.Image, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "cat"
    file.write_bytes(encoded(photograph, kind))
    loaded = load_image(file)
    assert difference(loaded, photograph) < 6
    with Image.open(file) as opened:
        assert difference(load_image(opened), loaded) == 0
    assert difference(load_image(str(file)), loaded) == 0
    assert difference(load_image(file.read_bytes()), loaded) == 0
    assert difference(load_image(loaded), loaded) == 0


class TestModes:
    @pytest.mark.parametrize("mode", ["RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"])
    def test_colours_stay(self, photograph: Image.Image, mode: str) -> None:
        source = photograph.convert("RGBA").convert(mode) if mode == "RGBa" else photograph.convert(mode)
        assert difference(load_image(source), photograph) < 3

    @pytest.mark.parametrize("mode", ["L", "LA", "I", "F"])
    def test_greys_become_three_equal_channels(self, photograph: Image.Image, mode: str) -> None:
        grey = photograph.convert("L")
        assert difference(load_image(grey.convert(mode)), grey.convert("RGB")) == 0

    @pytest.mark.parametrize("mode", ["P", "PA"])
    def test_palettes(self, photograph: Image.Image, mode: str) -> None:
        palette = photograph.quantize(256)
        assert difference(load_image(palette.convert(mode)), photograph) < 6

    def test_black_and_white(self, photograph: Image.Image) -> None:
        black_and_white = photograph.convert("1")
        shown = np.asarray(load_image(black_and_white))
        assert np.array_equal(shown == 255, np.asarray(black_and_white)[..., None].repeat(3, axis=-1))
        assert set(np.unique(shown)) == {0, 255}

    def test_floats_from_0_to_1(self, photograph: Image.Image) -> None:
        grey = photograph.convert("L")
        unit = Image.fromarray(np.asarray(grey, np.float32) / 255)
        assert difference(load_image(unit), grey.convert("RGB")) < 1

    def test_the_processor_takes_them_all(self, photograph: Image.Image) -> None:
        processor = MobileViTImageProcessor()
        for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"):
            source = photograph.convert("L").convert(mode) if mode == "I;16" else photograph.convert(mode)
            expected = processor(load_image(source), return_tensors="np").pixel_values
            assert np.array_equal(processor(source, return_tensors="np").pixel_values, expected)
            assert expected.shape == (1, 3, 256, 256)


class TestSixteenBits:
    ramp = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (4, 1))
    expected = np.tile(np.arange(256, dtype=np.uint8), (4, 1))[..., None].repeat(3, axis=-1)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
    def test_greys_are_scaled_and_not_clipped(self, kind: str) -> None:
        assert difference(load_image(encoded(Image.fromarray(self.ramp), kind)), self.expected) == 0

    def test_values_between_two_levels_are_rounded(self) -> None:
        between = np.array([[0, 128, 129, 65406, 65407, 65535]], np.uint16)
        assert np.asarray(load_image(Image.fromarray(between)))[0, :, 0].tolist() == [0, 0, 1, 254, 255, 255]

    def test_either_byte_order(self) -> None:
        big_endian = Image.frombytes("I;16B", (256, 4), self.ramp.astype(">u2").tobytes())
        assert difference(load_image(big_endian), self.expected) == 0

    def test_greys_in_32_bit_integers(self) -> None:
        assert difference(load_image(Image.fromarray(self.ramp.astype(np.int32))), self.expected) == 0

    def test_colours(self) -> None:
        colours = np.stack([self.ramp] * 3, axis=-1)
        assert difference(load_image(png(colours, 2, 16)), self.expected) <= 1

    def test_32_bit_integers_of_an_unknown_range_are_refused(self) -> None:
        with pytest.raises(ImageError, match="from 0 to 70000"):
            load_image(Image.fromarray(np.array([[0, 70_000]], np.int32)))
        with pytest.raises(ImageError, match="from -1 to 300"):
            load_image(Image.fromarray(np.array([[-1, 300]], np.int32)))


class TestTransparency:
    """Where a picture is transparent, the page is white, whatever colour hides there."""

    @pytest.fixture
    def half(self, photograph: Image.Image) -> Image.Image:
        """The left half opaque, the right half transparent over hidden red."""
        mask = Image.new("L", photograph.size, 0)
        mask.paste(255, (0, 0, photograph.width // 2, photograph.height))
        hidden = Image.composite(photograph, Image.new("RGB", photograph.size, RED), mask)
        hidden.putalpha(mask)
        return hidden

    @pytest.fixture
    def on_white(self, photograph: Image.Image) -> Image.Image:
        shown = photograph.copy()
        shown.paste(WHITE, (photograph.width // 2, 0, *photograph.size))
        return shown

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_rgba_files(self, half: Image.Image, on_white: Image.Image, kind: str) -> None:
        options = {"lossless": True} if kind == "WEBP" else {}
        assert difference(load_image(encoded(half, kind, **options)), on_white) == 0

    def test_half_transparent_pixels_are_mixed(self) -> None:
        assert load_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).getpixel((0, 0)) == (127, 127, 127)

    def test_grey_with_alpha(self, half: Image.Image, on_white: Image.Image) -> None:
        grey_on_white = on_white.convert("L").convert("RGB")
        assert difference(load_image(encoded(half.convert("LA"), "PNG")), grey_on_white) <= 1

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette_with_a_transparent_entry(self, kind: str) -> None:
        palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
        palette.putpalette([*BLUE, *RED])
        file = encoded(palette, kind, transparency=1)
        assert np.asarray(load_image(file)).tolist() == [[list(BLUE), list(WHITE)]]

    def test_a_transparent_colour_of_an_rgb_file(self) -> None:
        pixels = np.array([[RED, GREEN]], np.uint8)
        file = png(pixels, 2, 8, transparent=struct.pack(">HHH", *GREEN))
        assert np.asarray(load_image(file)).tolist() == [[list(RED), list(WHITE)]]

    def test_is_resolved_once_and_for_all(self, half: Image.Image) -> None:
        loaded = load_image(half)
        assert not loaded.has_transparency_data


class TestOrientation:
    # The corners as stored, row by row; a viewer shows red and green above blue and white. (EXIF says of each
    # orientation on which side the 0th row and the 0th column are to be shown.)
    stored: ClassVar = {
        1: "RGBW",
        2: "GRWB",
        3: "WBGR",
        4: "BWRG",
        5: "RBGW",
        6: "GWRB",
        7: "WGBR",
        8: "BRWG",
    }
    colours: ClassVar = {"R": RED, "G": GREEN, "B": BLUE, "W": WHITE}

    def picture(self, orientation: int) -> bytes:
        corners = [self.colours[letter] for letter in self.stored[orientation]]
        image = Image.fromarray(np.array(corners, np.uint8).reshape(2, 2, 3))
        tall = orientation > 4
        exif = Image.Exif()
        exif[0x0112] = orientation
        size = (32, 48) if tall else (48, 32)
        return encoded(image.resize(size, Image.Resampling.NEAREST), "PNG", exif=exif)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_orientation_is_shown_upright(self, orientation: int) -> None:
        image = load_image(self.picture(orientation))
        assert image.size == (48, 32)
        shown = [image.getpixel(corner) for corner in ((0, 0), (47, 0), (0, 31), (47, 31))]
        assert shown == [RED, GREEN, BLUE, WHITE]

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_loaded_picture_is_not_rotated_again(self, orientation: int) -> None:
        once = load_image(self.picture(orientation))
        assert difference(load_image(once), once) == 0
        assert difference(ImageOps.exif_transpose(once), once) == 0

    def test_the_processor_rotates_an_opened_photograph(self, photograph: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        lying = photograph.transpose(Image.Transpose.ROTATE_90)
        opened = Image.open(io.BytesIO(encoded(lying, "PNG", exif=exif)))
        processor = MobileViTImageProcessor()
        expected = processor(photograph, return_tensors="np").pixel_values
        assert np.array_equal(processor(opened, return_tensors="np").pixel_values, expected)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    @pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\0", b"Exif\0\0"])
    def test_damaged_exif_data_is_no_reason_to_refuse_a_photograph(
        self, photograph: Image.Image, exif: bytes
    ) -> None:
        assert difference(load_image(encoded(photograph, "JPEG", exif=exif)), photograph) < 6

    def test_an_orientation_that_does_not_exist_is_ignored(self, photograph: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x0112] = 9
        assert difference(load_image(encoded(photograph, "PNG", exif=exif)), photograph) == 0


class TestFiles:
    def test_cmyk_jpegs_are_not_inverted(self, photograph: Image.Image) -> None:
        file = encoded(photograph.convert("CMYK"), "JPEG", quality=95)
        assert b"Adobe" in file
        assert difference(load_image(file), photograph) < 6

    def test_the_first_frame_of_an_animation_counts(self) -> None:
        frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
        for kind in ("GIF", "PNG", "WEBP", "TIFF"):
            file = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
            assert np.abs(np.subtract(load_image(file).getpixel((0, 0)), RED)).max() <= 2

    def test_a_loaded_picture_outlives_its_file(self, photograph: Image.Image, tmp_path: Path) -> None:
        file = tmp_path / "pages.tif"
        photograph.save(file, save_all=True, append_images=[photograph])
        image = load_image(file)
        file.unlink()
        assert image.resize((5, 5)).size == (5, 5)

    def test_one_pixel(self) -> None:
        assert load_image(encoded(Image.new("RGB", (1, 1), RED), "PNG")).getpixel((0, 0)) == RED

    def test_108_megapixels(self, tmp_path: Path, photograph: Image.Image) -> None:
        file = tmp_path / "huge.jpg"
        small = photograph.resize((120, 90))
        small.resize((12_000, 9_000), Image.Resampling.NEAREST).save(file, quality=50)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            features = MobileViTImageProcessor()(file, return_tensors="np")
        expected = MobileViTImageProcessor()(
            small.resize((1200, 900), Image.Resampling.NEAREST), return_tensors="np"
        )
        assert np.abs(features.pixel_values - expected.pixel_values).mean() < 0.02


class TestBadInput:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"There is no file '.*cat\.png'"):
            load_image(tmp_path / "cat.png")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="is a folder"):
            load_image(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission(self, tmp_path: Path) -> None:
        file = tmp_path / "cat.png"
        file.write_bytes(b"")
        file.chmod(0)
        with pytest.raises(ImageError, match="may not be read"):
            load_image(file)

    @pytest.mark.parametrize(
        "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"<svg></svg>", bytes(1000)]
    )
    def test_a_file_that_is_no_picture_is_named(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "notes.txt"
        file.write_bytes(content)
        with pytest.raises(ImageError, match=r"notes\.txt"):
            load_image(file)
        with pytest.raises(ImageError, match=f"picture of {len(content)} bytes"):
            load_image(content)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"])
    def test_a_truncated_file(self, photograph: Image.Image, tmp_path: Path, kind: str) -> None:
        file = tmp_path / "cut"
        whole = encoded(photograph, kind)
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ImageError, match="cut"):
            load_image(file)
        with pytest.raises(ImageError, match="cut"):
            MobileViTImageProcessor()(file)

    def test_a_truncated_image_that_was_opened_by_the_user(self, photograph: Image.Image) -> None:
        opened = Image.open(io.BytesIO(encoded(photograph, "JPEG")[:5000]))
        with pytest.raises(ImageError, match="cannot be decoded"):
            MobileViTImageProcessor()(opened)

    def test_damage_anywhere_is_an_image_error_or_nothing(self, photograph: Image.Image) -> None:
        random = np.random.default_rng(0)
        small = photograph.resize((40, 30))
        for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM", "QOI", "AVIF"):
            if kind not in Image.registered_extensions().values():
                continue
            whole = encoded(small, kind)
            for _ in range(60):
                damaged = bytearray(whole)
                for place in random.integers(0, min(len(whole), 300), 5):
                    damaged[place] = random.integers(0, 256)
                try:
                    assert load_image(bytes(damaged)).mode == "RGB"
                except ImageError as error:
                    assert str(error)  # noqa: PT017

    def test_a_decompression_bomb(self) -> None:
        pixel = png(np.zeros((1, 1), np.uint8), 0, 8)
        header = b"IHDR" + struct.pack(">II", 100_000, 100_000) + pixel[24:29]
        bomb = pixel[:12] + header + struct.pack(">I", zlib.crc32(header)) + pixel[33:]
        with pytest.raises(ImageError, match="too large"):
            load_image(bomb)
