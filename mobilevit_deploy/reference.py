"""The reference: a trained PyTorch model together with how to feed it.

Everything that is exported is judged against a ``Reference``; it is never changed by an export.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.target import Input
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mobilevit_deploy.artifact import ModelCard, TensorSpec
    from mobilevit_deploy.image import PreprocessSpec
    from mobilevit_deploy.model import MobileViTForImageClassification, MobileViTForSemanticSegmentation

    Model = MobileViTForImageClassification | MobileViTForSemanticSegmentation

DEMO = "demo"
"""The source that stands for the bundled demo checkpoint."""


@dataclass(frozen=True)
class Reference:
    """A model, and how a picture becomes its input.

    Attributes:
        name: for file names and reports, such as ``mobilevit-xxs-shapes``.
        source: where it came from: a folder, a file, a hub id, or ``demo``.
        model: in evaluation mode.
        preprocess: from picture to ``pixel_values`` (1, 3, height, width).
        notes: sentences on what the checkpoint does not tell and was taken as published.
    """

    name: str
    source: str
    model: Model
    preprocess: PreprocessSpec
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return tuple(self.model.config.id2label[i] for i in range(self.model.config.num_labels))

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        assert self.preprocess.input_size is not None  # load_model sees to it
        return self.preprocess.input_size

    @property
    def task(self) -> Task:
        """What the model was trained to do."""
        from mobilevit_deploy.model import MobileViTForSemanticSegmentation

        segments = isinstance(self.model, MobileViTForSemanticSegmentation)
        return Task.SEGMENTATION if segments else Task.CLASSIFICATION

    def input(self, kind: Input) -> TensorSpec:
        """What a graph of the model takes: the 8-bit RGB picture, or the model's own tensor."""
        from mobilevit_deploy.artifact import TensorSpec

        if kind == Input.IMAGE:
            return TensorSpec(name="image", shape=(1, *self.image_size, 3), dtype="uint8", layout="NHWC")
        return TensorSpec(name="pixel_values", shape=(1, 3, *self.image_size), dtype="float32", layout="NCHW")

    def output(self, *, argmax: bool = False) -> TensorSpec:
        """What a graph of the model gives: scores, or for segmentation the best class of every pixel."""
        from mobilevit_deploy.artifact import TensorSpec

        if argmax:
            return TensorSpec(name="mask", shape=(1, *self.image_size), dtype="int32", layout="NHW")
        classes = len(self.labels)
        if self.task == Task.CLASSIFICATION:
            return TensorSpec(name="logits", shape=(1, classes), dtype="float32", layout="NC")
        # Every halving rounds up, and so does their product.
        cells = (math.ceil(side / self.model.config.output_stride) for side in self.image_size)
        return TensorSpec(name="logits", shape=(1, classes, *cells), dtype="float32", layout="NCHW")

    def resized(self, image_size: tuple[int, int] | None) -> Reference:
        """The same model at another input size (height, width); None keeps the checkpoint's own."""
        if image_size is None:
            return self
        return replace(self, preprocess=self.preprocess.for_image_size(*image_size))

    def run(self, pixel_values: NDArray[Any]) -> NDArray[Any]:
        """Logits (batch, classes, ...) of ``pixel_values`` (batch, 3, height, width), both float32."""
        import torch

        with torch.inference_mode():
            logits: NDArray[Any] = self.model(torch.from_numpy(pixel_values)).logits.numpy()
        return logits

    def card(self) -> ModelCard:
        """What a manifest says of the model."""
        from mobilevit_deploy.artifact import ModelCard

        return ModelCard(
            name=self.name,
            source=self.source,
            weights_sha256=self.weights_sha256(),
            config=self.model.config.to_dict(),
            preprocessing=self.preprocess,
            notes=self.notes,
        )

    def weights_sha256(self) -> str:
        """Fingerprint of all parameters and running statistics, whatever file they came from."""
        total = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            if name.endswith("num_batches_tracked"):
                continue  # counts training steps; some files drop it
            total.update(name.encode())
            total.update(tensor.detach().float().contiguous().numpy().tobytes())
        return total.hexdigest()


def reference_output(reference: Reference, picture: Image, wanted: TensorSpec) -> NDArray[Any]:
    """What an artifact's output ``wanted`` should hold for a picture, by the reference alone."""
    from mobilevit_deploy.artifact import to_layout
    from mobilevit_deploy.parity.metrics import decisions

    logits = reference.run(reference.preprocess.apply(picture))
    layout = reference.output().layout
    if "C" in wanted.layout:
        return to_layout(logits, layout, wanted.layout)
    return decisions(logits, layout, reference.image_size).astype(wanted.dtype)


def app_preprocessing(reference: Reference, tensor: TensorSpec) -> PreprocessSpec:
    """What is left to do before ``tensor`` is fed: less than for the reference if it takes the picture."""
    whole = reference.preprocess
    return whole.for_picture_input() if tensor.dtype == "uint8" else whole


def as_reference(
    model: Reference | str | Path | None,
    channel_order: str | None = None,
    labels: str | Path | None = None,
) -> Reference:
    """A reference as it is, or one loaded; see ``load_model``."""
    if isinstance(model, Reference):
        return model
    return load_model(model, channel_order=channel_order, labels=labels)


def load_model(
    source: str | Path | None = None,
    *,
    channel_order: str | None = None,
    labels: str | Path | None = None,
) -> Reference:
    """Load a checkpoint and its preprocessing.

    Args:
        source: a checkpoint of Hugging Face, timm or ml-cvnets: a folder, a weights file, or a hub id such as
            ``apple/mobilevit-xx-small``; ``demo`` (or None) and ``demo-segmentation`` are bundled.
        channel_order: ``rgb`` or ``bgr``; None trusts what the checkpoint, or its format, declares.
        labels: a file of class names that replace the checkpoint's; see ``read_labels``.

    Raises:
        CheckpointError: the checkpoint cannot be read, or does not say how its input is preprocessed.
        HubError: the hub cannot be reached or has no such model.
        UsageError: there is no such channel order, or the labels do not fit.
    """
    from mobilevit_deploy.image import PreprocessSpec
    from mobilevit_deploy.model.checkpoint import open_checkpoint

    source = DEMO if source is None else source
    checkpoint = open_checkpoint(source, channel_order=channel_order, labels=labels)
    spec = PreprocessSpec.from_processor(checkpoint.require_preprocessing())
    if spec.input_size is None:
        raise CheckpointError(
            f"The preprocessing of '{source}' neither crops nor resizes to a fixed size.",
            remedy="A graph needs one: set do_center_crop to true and crop_size to the model's input size.",
        )
    return Reference(
        name=checkpoint.name,
        source=str(source),
        model=checkpoint.load().eval(),
        preprocess=spec,
        notes=checkpoint.notes,
    )
