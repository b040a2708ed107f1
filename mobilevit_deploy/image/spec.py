"""What an artifact's manifest says of its input: a few numbers that an app can follow without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from mobilevit_deploy.errors import ArtifactError

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from mobilevit_deploy.artifact import TensorSpec  # imports this module
    from mobilevit_deploy.image.processor import MobileViTImageProcessor

Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]  # by Pillow's number

Size = tuple[PositiveInt, PositiveInt]


class PreprocessSpec(BaseModel):
    """The preprocessing of one artifact. In this order: resize, crop, multiply, order the channels.

    At most one of the two ways to resize is given; with neither, the picture keeps its size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    resize_shortest_edge: PositiveInt | None = Field(
        default=None,
        description="Scale the shorter edge to this length, the longer one by the same factor, rounded down.",
    )
    resize_to: Size | None = Field(
        default=None, description="Scale to this (height, width), whatever the aspect ratio."
    )
    resample: Resample = Field(
        description="Filter of the resizing, antialiased (its support grows with the reduction)."
    )
    crop: Size | None = Field(
        description="Cut this (height, width) out of the centre; surround what is too small with zeros."
    )
    rescale_factor: float = Field(description="Multiply 8-bit grey levels (0..255) by this.")
    channel_order: Literal["RGB", "BGR"] = Field(description="Order of the channels in the input tensor.")

    @model_validator(mode="after")
    def _resizes_one_way(self) -> Self:
        if self.resize_shortest_edge is not None and self.resize_to is not None:
            raise ValueError("resize_shortest_edge and resize_to exclude each other")
        return self

    @property
    def input_size(self) -> Size | None:
        """Height and width of what comes out; None if that depends on the picture."""
        return self.crop or self.resize_to

    @classmethod
    def from_processor(cls, processor: MobileViTImageProcessor) -> PreprocessSpec:
        """Describe what a processor does to 8-bit pictures."""
        size = processor.size if processor.do_resize else {}
        crop = processor.crop_size
        return cls(
            resize_shortest_edge=size.get("shortest_edge"),
            resize_to=(size["height"], size["width"]) if "height" in size else None,
            resample=get_args(Resample)[processor.resample],
            crop=(crop["height"], crop["width"]) if processor.do_center_crop else None,
            rescale_factor=processor.rescale_factor if processor.do_rescale else 1.0,
            channel_order="BGR" if processor.do_flip_channel_order else "RGB",
        )

    def to_processor(self) -> MobileViTImageProcessor:
        """Build a processor that does what is described here."""
        from mobilevit_deploy.image.processor import MobileViTImageProcessor

        size = self.resize_to or self.resize_shortest_edge
        return MobileViTImageProcessor(
            do_resize=size is not None,
            size=size,
            resample=get_args(Resample).index(self.resample),
            do_center_crop=self.crop is not None,
            crop_size=self.crop,
            rescale_factor=self.rescale_factor,
            do_flip_channel_order=self.channel_order == "BGR",
        )

    def for_image_size(self, height: int, width: int) -> PreprocessSpec:
        """The same preprocessing for a model with another input size.

        The crop becomes (height, width), and resizing keeps its ratio to the crop: the published 288 to 256
        becomes 360 to 320. The shortest edge is measured against the longer edge of the crop, so that nothing
        needs padding that did not before; without a crop, it becomes that edge. Resizing to a fixed size
        scales per axis, and without a crop becomes (height, width) itself. Lengths are rounded to the nearest
        pixel.
        """
        resize_shortest_edge, resize_to, crop = self.resize_shortest_edge, self.resize_to, (height, width)
        if resize_to is not None:
            before = self.crop or resize_to
            resize_to = (round(resize_to[0] * height / before[0]), round(resize_to[1] * width / before[1]))
        elif resize_shortest_edge is not None:
            before_edge = max(self.crop) if self.crop else resize_shortest_edge
            resize_shortest_edge = round(resize_shortest_edge * max(height, width) / before_edge)
        return type(self)(
            **{
                **self.model_dump(),
                "resize_shortest_edge": resize_shortest_edge,
                "resize_to": resize_to,
                "crop": crop,
            }
        )

    def for_picture_input(self) -> PreprocessSpec:
        """What is left for an app to do when the graph takes the 8-bit RGB picture: resize and crop.

        Scaling and channel order then happen inside the graph.
        """
        return self.model_copy(update={"rescale_factor": 1.0, "channel_order": "RGB"})

    def apply(
        self, image: str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Preprocess one picture.

        Returns:
            (1, 3, H, W), its channels in ``channel_order``.

        Raises:
            ImageError: for what is no usable picture.
        """
        pixel_values: NDArray[np.float32] = self.to_processor()(image, return_tensors="np").pixel_values
        return pixel_values

    def feed(
        self, image: str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8], tensor: TensorSpec
    ) -> NDArray[Any]:
        """Preprocess one picture to what an input declares: ``uint8`` grey levels or ``float32`` values.

        Returns:
            (1, 3, H, W) in the order of axes that ``tensor.layout`` names, contiguous, of ``tensor.dtype``.

        Raises:
            ImageError: for what is no usable picture.
            ArtifactError: for an input that no picture can be fed to, and one of ``uint8`` where this
                preprocessing scales the grey levels.
        """
        import numpy as np

        if tensor.dtype not in ("uint8", "float32") or sorted(tensor.layout) != sorted("NCHW"):
            raise ArtifactError(
                f"The input '{tensor.name}' is {tensor.dtype} {tensor.layout}, and takes no picture.",
                remedy="Pictures go into uint8 or float32 inputs, NHWC or NCHW. Export the model again.",
            )
        if tensor.dtype == "uint8" and self.rescale_factor != 1:
            raise ArtifactError(
                f"The input '{tensor.name}' takes grey levels (uint8), but its preprocessing multiplies them "
                f"by {self.rescale_factor:.4g}.",
                remedy="Export the model again: input and preprocessing contradict each other.",
            )
        axes = ["NCHW".index(axis) for axis in tensor.layout]
        return np.ascontiguousarray(self.apply(image).transpose(axes), dtype=tensor.dtype)
