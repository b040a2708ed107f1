"""Any picture that Pillow reads, as the 8-bit RGB picture that a person would see in a viewer."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.image.arrays import levels_from_float, levels_from_integer

# What undoes each EXIF orientation; 1 is upright, anything else is not a valid value.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(source: str | os.PathLike[str] | bytes | Image.Image) -> Image.Image:
    """Read a picture and show it as a viewer would: upright, opaque, 8-bit RGB.

    - EXIF (or XMP) orientation is applied.
    - Transparency of any kind is laid over white, as on the page where such pictures are mostly seen;
      dropping the alpha channel instead would uncover arbitrary hidden colours.
    - 16-bit greys are scaled to 8 bits, not clipped. Pictures of 32-bit integers are taken as 8-bit or 16-bit
      levels and those of floats as 0..1 or 0..255, whichever range holds their values.
    - Black-and-white, grey, palette, CMYK and other colour spaces are converted by Pillow.
    - Of several frames or pages, the first one counts (of an opened Pillow image: the current one).

    Pictures up to Pillow's hard limit (179 megapixels, unless ``Image.MAX_IMAGE_PIXELS`` says otherwise) are
    read without its warning, since a photograph of 108 megapixels is no attack.

    Args:
        source: a path, the bytes of a picture file, or a Pillow image (which is not changed).

    Returns:
        An image of mode ``RGB``. It may be ``source`` itself, where there was nothing to do.

    Raises:
        ImageError: for whatever is missing, is no picture, is damaged, is empty or is too large.
    """
    if isinstance(source, Image.Image):
        return _viewed(source, getattr(source, "filename", "") or "the image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        name = _name(source)
        with _open(source, name) as image:
            return _viewed(image, name)


def picture_files(folder: Path) -> list[Path]:
    """The files in ``folder`` and its subfolders that have a picture's suffix, in order of their paths.

    Raises:
        ImageError: there is no such folder, or no picture in it.
    """
    Image.init()
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in Image.EXTENSION)
    if not found:
        raise ImageError(
            f"There is no picture in {folder}." if folder.is_dir() else f"There is no folder {folder}.",
            remedy="Name a folder of pictures, such as .jpg and .png files.",
        )
    return found


@contextmanager
def opened(source: str | os.PathLike[str] | bytes) -> Iterator[Image.Image]:
    """Open a picture file and decode it, in its own mode and orientation.

    Raises:
        ImageError: as ``load_image``.
    """
    name = _name(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = _open(source, name)
    with image:
        try:
            image.load()
        except Exception as error:
            raise _unreadable(error, name) from error
        yield image


def _name(source: str | os.PathLike[str] | bytes) -> str:
    return f"the picture of {len(source)} bytes" if isinstance(source, bytes) else f"'{os.fspath(source)}'"


def _open(source: str | os.PathLike[str] | bytes, name: str) -> Image.Image:
    """Open the file and read its header."""
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else Path(source))
    except FileNotFoundError as error:
        raise ImageError(f"There is no file {name}.", remedy="Check the path.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder.", remedy="Name one picture file in it.") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read.", remedy="Give yourself the right to read it.") from error
    except Exception as error:
        raise _unreadable(error, name) from error


def _viewed(image: Image.Image, name: str) -> Image.Image:
    """``load_image`` for an opened image."""
    if 0 in image.size:
        raise ImageError(
            f"{name} has no pixels: it is {image.width}x{image.height}.", remedy="Pass another picture."
        )
    try:
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        rgb = _rgb(image)
    except ImageError:
        raise
    except Exception as error:
        raise _unreadable(error, name) from error
    if orientation not in _UPRIGHT:
        return rgb
    # ImageOps.exif_transpose would write the EXIF block anew, which fails on damaged ones.
    upright = rgb.transpose(_UPRIGHT[orientation])
    upright.info.clear()  # what still says "rotated" would rotate the picture again next time
    return upright


def _unreadable(error: Exception, name: str) -> ImageError:
    """Explain what Pillow raised, which for damaged files may be nearly any exception."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{name} is too large: {error}",
            remedy="Scale it down first, or raise PIL.Image.MAX_IMAGE_PIXELS.",
        )
    if isinstance(error, UnidentifiedImageError):
        return ImageError(
            f"{name} is not a picture that can be read.",
            remedy="Pass a JPEG, PNG, WebP, GIF, BMP or TIFF file.",
        )
    return ImageError(
        f"{name} cannot be decoded ({error}).", remedy="The file is damaged or cut short: get it anew."
    )


def _rgb(image: Image.Image) -> Image.Image:
    """Reduce to three channels of 8 bits."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(levels_from_integer(np.asarray(image))).convert("RGB")
    if image.mode == "I":
        # PGM and some TIFF files of 16 bits come as 32-bit integers; nothing says which range is meant.
        values = np.asarray(image)
        sixteen_bit = values.min() >= 0 and 255 < values.max() <= 65535
        levels = levels_from_integer(values.astype(np.uint16) if sixteen_bit else values)
        return Image.fromarray(levels).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(levels_from_float(np.asarray(image))[0]).convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGB", image.size, "white")
        rgba = image.convert("RGBA")
        canvas.paste(rgba, mask=rgba)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")
