"""The published image processor: any pictures to the ``pixel_values`` that MobileViT was trained on."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.errors import CheckpointError, ImageError
from mobilevit_deploy.image.arrays import (
    channels_last,
    is_unit_range,
    levels_from_float,
    levels_from_integer,
    rgb_from_float,
)
from mobilevit_deploy.image.loading import load_image
from mobilevit_deploy.image.resize import center_crop, resize
from mobilevit_deploy.model.hub import resolve_checkpoint
from mobilevit_deploy.output import write_text

if TYPE_CHECKING:
    import torch

CONFIG_NAME = "preprocessor_config.json"

ImageInput: TypeAlias = Union[
    Image.Image, "NDArray[Any]", "torch.Tensor", str, os.PathLike[str], bytes, "Sequence[ImageInput]"
]
SizeInput: TypeAlias = int | Sequence[int] | Mapping[str, int]

# In the published order; every other field of a preprocessor_config.json is kept, but means nothing here.
_FIELDS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_flip_channel_order",
    "do_reduce_labels",
)


class BatchFeature(dict[str, Any]):
    """A dict whose entries are attributes too: ``features.pixel_values``, ``model(**features)``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class MobileViTImageProcessor:
    """Resizes, rescales, crops and reorders the channels of pictures as the published processor does.

    The results equal those of transformers' ``MobileViTImageProcessorPil`` to one grey level for upright RGB
    pictures. Others become what a viewer would show (see ``load_image``): grey, palette, transparent, CMYK,
    16-bit and EXIF-rotated pictures all come out upright and with three channels.

    Args:
        do_resize: resize to ``size``.
        size: ``{"shortest_edge": n}`` keeps the aspect ratio; ``{"height": h, "width": w}`` does not. An
            int means the shortest edge, a pair (height, width).
        resample: Pillow's number of the filter: 3, bicubic, is the published default; Apple's checkpoints say
            2, bilinear.
        do_center_crop: cut ``crop_size`` out of the centre; what is too small is surrounded by zeros.
        crop_size: ``{"height": h, "width": w}``, an int for a square, or a pair (height, width).
        do_rescale: multiply by ``rescale_factor``.
        rescale_factor: the published 1/255 leads to 0..1.
        do_flip_channel_order: give BGR, which the published weights expect, instead of RGB.
        do_reduce_labels: about segmentation maps: their label 0 means "no label". Kept for the checkpoint.
        **extra_fields: any other field of a preprocessor_config.json; ``save_pretrained`` writes it back.

    Raises:
        ValueError: for sizes, filters or factors that mean nothing.
    """

    def __init__(
        self,
        *,
        do_resize: bool = True,
        size: SizeInput | None = None,
        resample: int = Image.Resampling.BICUBIC,
        do_center_crop: bool = True,
        crop_size: SizeInput | None = None,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_flip_channel_order: bool = True,
        do_reduce_labels: bool = False,
        **extra_fields: Any,
    ) -> None:
        self.do_resize = do_resize
        self.size = _resize_target({"shortest_edge": 224} if size is None else size)
        self.resample = int(Image.Resampling(resample))
        self.do_center_crop = do_center_crop
        self.crop_size = _crop_target(256 if crop_size is None else crop_size)
        self.do_rescale = do_rescale
        self.rescale_factor = _factor(rescale_factor)
        self.do_flip_channel_order = do_flip_channel_order
        self.do_reduce_labels = do_reduce_labels
        self.extra_fields = extra_fields

    def __repr__(self) -> str:
        return f"{type(self).__name__} {json.dumps(self.to_dict(), indent=2)}"

    def preprocess(
        self, images: ImageInput, *, return_tensors: Literal["np", "pt"] | None = None, **overrides: Any
    ) -> BatchFeature:
        """Prepare one picture or many.

        Args:
            images: a Pillow image, a path, the bytes of a file, an array or tensor of (H, W), (H, W, C) or
                (C, H, W), a batch of the latter two with one more axis in front, or a list of any of these.
            return_tensors: ``"np"`` for an array, ``"pt"`` for a torch tensor, None for a list of (3, H, W)
                arrays, which unlike the others may differ in size.
            **overrides: fields of the processor that hold for this call only; None leaves a field as it is.

        Returns:
            ``pixel_values``: (B, 3, H, W) float32, BGR if ``do_flip_channel_order``.

        Raises:
            ImageError: for pictures that cannot be read or used.
            TypeError: for an unknown field, or something that is no picture at all.
        """
        if return_tensors not in (None, "np", "pt"):
            raise ValueError(f'return_tensors is None, "np" or "pt", not {return_tensors!r}')
        settings = self._with(overrides)
        pixel_values = list(map(settings._pixel_values, _each(images)))
        if return_tensors is None:
            return BatchFeature(pixel_values=pixel_values)
        batch = _stack(pixel_values)
        if return_tensors == "np":
            return BatchFeature(pixel_values=batch)
        import torch

        return BatchFeature(pixel_values=torch.from_numpy(batch))

    __call__ = preprocess

    def _with(self, overrides: Mapping[str, Any]) -> MobileViTImageProcessor:
        unknown = sorted(set(overrides) - set(_FIELDS))
        if unknown:
            raise TypeError(
                f"unknown preprocessing fields {', '.join(unknown)}; there are {', '.join(_FIELDS)}"
            )
        given = _without_none(overrides)
        return type(self)(**{**self.to_dict(), **given}) if given else self

    def _pixel_values(self, image: Any) -> NDArray[np.float32]:
        """Process one picture to (3, H, W)."""
        picture = _picture(image)
        factor = self.rescale_factor if self.do_rescale else 1.0
        if isinstance(picture, np.ndarray):
            if self.do_rescale and is_unit_range(picture):
                warnings.warn(
                    "It looks like you are trying to rescale already rescaled images: floats within 0..1 "
                    f"will be multiplied by {factor:.4g}. Pass do_rescale=False to keep them.",
                    stacklevel=3,  # the caller of preprocess
                )
            if self.do_resize:
                levels, unit = levels_from_float(picture)
                picture, factor = Image.fromarray(levels), factor * unit
        crop = (self.crop_size["height"], self.crop_size["width"]) if self.do_center_crop else None
        if self.do_resize:
            assert isinstance(picture, Image.Image)
            pixels: NDArray[Any] = resize(picture, self.size, self.resample, crop)
        else:
            pixels = np.asarray(picture)
            pixels = pixels if crop is None else center_crop(pixels, crop)
        # In float64 and then rounded, as published: float32 alone would be off in the last bit.
        values = (pixels.astype(np.float64) * factor).astype(np.float32)
        if self.do_flip_channel_order:
            values = values[..., ::-1]
        return np.ascontiguousarray(np.moveaxis(values, -1, 0))

    def to_dict(self) -> dict[str, Any]:
        """All fields, as in preprocessor_config.json."""
        known = {name: getattr(self, name) for name in _FIELDS}
        return {"image_processor_type": type(self).__name__, **self.extra_fields, **known}

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **overrides: Any) -> MobileViTImageProcessor:
        """Read the preprocessor_config.json of a checkpoint.

        Args:
            source: a folder, any file in it, or a hub id such as ``apple/mobilevit-xx-small``.
            **overrides: fields that replace the file's, for instance ``do_flip_channel_order=False``.

        Raises:
            CheckpointError: if there is no such file, or it makes no sense.
            HubError: if the hub cannot be reached or has no such model.
        """
        path = resolve_checkpoint(source if isinstance(source, str) else Path(source))
        folder = path if path.is_dir() else path.parent
        file = folder / CONFIG_NAME
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(
                f"There is no {CONFIG_NAME} in '{folder}'.",
                remedy="Copy it from where the checkpoint came from.",
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"'{file}' cannot be read ({error}).", remedy="Get the file anew."
            ) from error
        if not isinstance(fields, dict):
            raise CheckpointError(f"'{file}' holds no JSON object.", remedy="Get the file anew.")
        try:
            processor = cls(**_without_none(fields))
        except ValueError as error:
            raise CheckpointError(
                f"'{file}' makes no sense: {error}.", remedy="Correct the field."
            ) from error
        return processor._with(overrides)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write preprocessor_config.json into a folder, made if need be; the file appears whole or not.

        Returns:
            The file's path.

        Raises:
            OutputError: if it cannot be written.
        """
        file = Path(folder) / CONFIG_NAME
        write_text(file, json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")
        return file


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the fields of ours that say None, which to the published processor means "the default"."""
    return {name: value for name, value in fields.items() if value is not None or name not in _FIELDS}


def _each(images: Any) -> Iterator[Any]:
    """The single pictures of lists and batches, in order."""
    if isinstance(images, list | tuple):
        if not images:
            raise ValueError("there is no picture in the list")
        for image in images:
            yield from _each(image)
    elif (_is_tensor(images) or isinstance(images, np.ndarray)) and images.ndim == 4:
        yield from images
    else:
        yield images


def _is_tensor(value: Any) -> TypeGuard[torch.Tensor]:
    """Whether this is a torch tensor, without importing torch: who has a tensor has imported it."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def _picture(image: Any) -> Image.Image | NDArray[np.floating[Any]]:
    """An 8-bit RGB image; or (H, W, 3) floats, whose precision would be lost by making them one."""
    if isinstance(image, Image.Image | str | os.PathLike | bytes):
        return load_image(image)
    if _is_tensor(image):
        host = image.detach().cpu()
        image = (host.float() if host.is_floating_point() else host).numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"{type(image).__name__} is no picture: pass a PIL image, array, tensor, path or bytes"
        )
    pixels = channels_last(image)
    if pixels.dtype.kind == "f":
        return rgb_from_float(pixels)
    if pixels.dtype.kind not in "biu":
        raise ImageError(
            f"An array of {pixels.dtype} is no picture.", remedy="Pass integers, floats or booleans."
        )
    levels = np.ascontiguousarray(levels_from_integer(pixels))
    return load_image(Image.fromarray(levels.squeeze(-1) if levels.shape[-1] == 1 else levels))


def _stack(pixel_values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    sizes = sorted({values.shape[1:] for values in pixel_values})
    if len(sizes) > 1:
        listed = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise ImageError(
            f"The pictures come out in different sizes ({listed}) and make no batch.",
            remedy="Keep do_center_crop on, or pass them one at a time.",
        )
    return np.stack(pixel_values)


def _resize_target(size: SizeInput) -> dict[str, int]:
    if isinstance(size, int):
        size = {"shortest_edge": size}
    return _edges("size", size, ({"shortest_edge"}, {"height", "width"}))


def _crop_target(size: SizeInput) -> dict[str, int]:
    if isinstance(size, int):
        size = {"height": size, "width": size}
    return _edges("crop_size", size, ({"height", "width"},))


def _edges(field: str, size: Any, allowed: Sequence[set[str]]) -> dict[str, int]:
    """Check a size, and give a pair its names."""
    if isinstance(size, list | tuple) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if not isinstance(size, Mapping) or set(size) not in allowed:
        forms = " or ".join(str(sorted(keys)) for keys in allowed)
        raise ValueError(f"{field} is an int, a (height, width) pair or a dict of {forms}, not {size!r}")
    if not all(isinstance(edge, int) and edge > 0 for edge in size.values()):
        raise ValueError(f"{field} counts pixels, so {dict(size)} makes no sense")
    return dict(size)


def _factor(value: Any) -> float:
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"rescale_factor is a finite number, not {value!r}")
    return float(value)
