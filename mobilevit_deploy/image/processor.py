"""The published image processor: pictures to the ``pixel_values`` that MobileViT takes, logits to maps."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevit_deploy.errors import CheckpointError, ImageError
from mobilevit_deploy.image.arrays import is_unit_range, levels_from_float
from mobilevit_deploy.image.inputs import ImageInput, each_single, usable_picture
from mobilevit_deploy.image.resize import SizeInput, center_crop, crop_target, resize, resize_target
from mobilevit_deploy.image.segmentation import class_scores, label_map, label_maps, reduce_labels
from mobilevit_deploy.model.hub import resolve_checkpoint
from mobilevit_deploy.output import write_text

if TYPE_CHECKING:
    import torch

CONFIG_NAME = "preprocessor_config.json"

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
        do_reduce_labels: label 0 of segmentation maps means "no label" and becomes 255, the others one less.
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
        self.size = resize_target({"shortest_edge": 224} if size is None else size)
        self.resample = int(Image.Resampling(resample))
        self.do_center_crop = do_center_crop
        self.crop_size = crop_target(256 if crop_size is None else crop_size)
        self.do_rescale = do_rescale
        self.rescale_factor = _factor(rescale_factor)
        self.do_flip_channel_order = do_flip_channel_order
        self.do_reduce_labels = do_reduce_labels
        self.extra_fields = extra_fields

    def __repr__(self) -> str:
        return f"{type(self).__name__} {json.dumps(self.to_dict(), indent=2)}"

    def preprocess(
        self,
        images: ImageInput,
        segmentation_maps: ImageInput | None = None,
        *,
        return_tensors: Literal["np", "pt", "tf"] | None = None,
        **overrides: Any,
    ) -> BatchFeature:
        """Prepare one picture or many, and their segmentation maps if there are any.

        Maps are resized to the nearest pixel and cropped like the pictures. Crops larger than what was
        resized are filled up with class 0, as published.

        Args:
            images: a Pillow image, a path, the bytes of a file, an array or tensor of (H, W), (H, W, C) or
                (C, H, W), a batch of the latter two with one more axis in front, or a list of any of these.
            segmentation_maps: one for each picture, of its size: one-channel pictures in the same forms,
                (H, W) class numbers, a (B, H, W) batch, or a list of any of these.
            return_tensors: ``"np"`` for an array, ``"pt"`` for a torch tensor, ``"tf"`` for a TensorFlow
                tensor, None for a list of (3, H, W) arrays, which unlike the others may differ in size.
            **overrides: fields of the processor that hold for this call only; None leaves a field as it is.

        Returns:
            ``pixel_values``: (B, 3, H, W) float32, BGR if ``do_flip_channel_order``; and with maps
            ``labels``: (B, H, W) int64.

        Raises:
            ImageError: for pictures and maps that cannot be read or used, or do not fit each other.
            TypeError: for an unknown field, or something that is no picture at all.
        """
        if return_tensors not in (None, "np", "pt", "tf"):
            raise ValueError(f'return_tensors is None, "np", "pt" or "tf", not {return_tensors!r}')
        settings = self._with(overrides)
        sources = list(each_single(images, single_ndim=3))
        maps = None if segmentation_maps is None else label_maps(segmentation_maps, len(sources))
        features = BatchFeature(pixel_values=[])
        for i, source in enumerate(sources):
            picture = usable_picture(source)
            if maps is not None:
                features.setdefault("labels", []).append(settings._labels(label_map(maps[i], picture)))
            features.pixel_values.append(settings._pixel_values(picture))
        if return_tensors is None:
            return features
        batches = {name: _stack(values) for name, values in features.items()}
        return BatchFeature({name: _tensor(batch, return_tensors) for name, batch in batches.items()})

    __call__ = preprocess

    def _with(self, overrides: Mapping[str, Any]) -> Self:
        unknown = sorted(set(overrides) - set(_FIELDS))
        if unknown:
            raise TypeError(
                f"unknown preprocessing fields {', '.join(unknown)}; there are {', '.join(_FIELDS)}"
            )
        given = _without_none(overrides)
        return type(self)(**{**self.to_dict(), **given}) if given else self

    def _pixel_values(self, picture: Image.Image | NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Process one picture to (3, H, W)."""
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
        pixels = self._resized_and_cropped(picture, self.resample)
        # In float64 and then rounded, as published: float32 alone would be off in the last bit.
        values = (pixels.astype(np.float64) * factor).astype(np.float32)
        if self.do_flip_channel_order:
            values = values[..., ::-1]
        return np.ascontiguousarray(np.moveaxis(values, -1, 0))

    def _labels(self, classes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Process one segmentation map to (H, W)."""
        if self.do_reduce_labels:
            classes = reduce_labels(classes)
        return self._resized_and_cropped(Image.fromarray(classes), Image.Resampling.NEAREST).astype(np.int64)

    def _resized_and_cropped(self, picture: Image.Image | NDArray[Any], resample: int) -> NDArray[Any]:
        crop = (self.crop_size["height"], self.crop_size["width"]) if self.do_center_crop else None
        if self.do_resize:
            assert isinstance(picture, Image.Image)
            return resize(picture, self.size, resample, crop)
        pixels = np.asarray(picture)
        return pixels if crop is None else center_crop(pixels, crop)

    @overload
    def post_process_semantic_segmentation(
        self, outputs: Any, target_sizes: Any = None, return_segmentation_scores: Literal[False] = False
    ) -> list[torch.Tensor]: ...

    @overload
    def post_process_semantic_segmentation(
        self, outputs: Any, target_sizes: Any = None, *, return_segmentation_scores: Literal[True]
    ) -> list[BatchFeature]: ...

    def post_process_semantic_segmentation(
        self, outputs: Any, target_sizes: Any = None, return_segmentation_scores: bool = False
    ) -> list[torch.Tensor] | list[BatchFeature]:
        """Turn the logits of a semantic segmenter into class numbers.

        Args:
            outputs: what ``MobileViTForSemanticSegmentation`` returned; its ``logits`` are (B, labels, h, w).
            target_sizes: B pairs (height, width), or a (B, 2) tensor: each picture's logits are interpolated
                bilinearly to its size first. None keeps (h, w).
            return_segmentation_scores: give the interpolated logits too.

        Returns:
            For each picture a map (height, width) int64; or, with scores, ``segmentation``, the map, and
            ``segmentation_scores``, (labels, height, width).

        Raises:
            TypeError: for outputs without logits.
            ValueError: for a classifier's logits, or sizes that do not fit the batch.
        """
        every = class_scores(outputs, target_sizes)
        if not return_segmentation_scores:
            return [scores.argmax(dim=0) for scores in every]
        return [
            BatchFeature(segmentation=scores.argmax(dim=0), segmentation_scores=scores) for scores in every
        ]

    def to_dict(self) -> dict[str, Any]:
        """All fields, as in preprocessor_config.json."""
        known = {name: getattr(self, name) for name in _FIELDS}
        return {"image_processor_type": "MobileViTImageProcessor", **self.extra_fields, **known}

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **overrides: Any) -> Self:
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


class MobileViTFeatureExtractor(MobileViTImageProcessor):
    """The former name of :class:`MobileViTImageProcessor`, with a warning, for code that still has it."""

    def __init__(self, **fields: Any) -> None:
        warnings.warn(
            "MobileViTFeatureExtractor is deprecated. Use MobileViTImageProcessor, which is the same.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(**fields)


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the fields of ours that say None, which to the published processor means "the default"."""
    return {name: value for name, value in fields.items() if value is not None or name not in _FIELDS}


def _tensor(batch: NDArray[Any], kind: Literal["np", "pt", "tf"]) -> Any:
    if kind == "np":
        return batch
    if kind == "pt":
        import torch

        return torch.from_numpy(batch)
    from mobilevit_deploy.model.keras.runtime import require_tensorflow

    require_tensorflow()
    import tensorflow as tf

    return tf.convert_to_tensor(batch)


def _stack(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    sizes = sorted({array.shape[-2:] for array in arrays})
    if len(sizes) > 1:
        listed = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise ImageError(
            f"The pictures come out in different sizes ({listed}) and make no batch.",
            remedy="Keep do_center_crop on, or pass them one at a time.",
        )
    return np.stack(arrays)


def _factor(value: Any) -> float:
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"rescale_factor is a finite number, not {value!r}")
    return float(value)
