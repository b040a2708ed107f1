"""The reference: a trained PyTorch model together with how to feed it.

Everything that is exported is judged against a ``Reference``; it is never changed by an export.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import CheckpointError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import ModelCard, TensorSpec
    from mobilevit_deploy.image.spec import PreprocessSpec
    from mobilevit_deploy.model import MobileViTForImageClassification

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
    """

    name: str
    source: str
    model: MobileViTForImageClassification
    preprocess: PreprocessSpec

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
    def input(self) -> TensorSpec:
        """What the model takes."""
        from mobilevit_deploy.artifact import TensorSpec

        return TensorSpec(name="pixel_values", shape=(1, 3, *self.image_size), dtype="float32", layout="NCHW")

    @property
    def output(self) -> TensorSpec:
        """What the model gives."""
        from mobilevit_deploy.artifact import TensorSpec

        return TensorSpec(name="logits", shape=(1, len(self.labels)), dtype="float32", layout="NC")

    def resized(self, image_size: tuple[int, int] | None) -> Reference:
        """The same model at another input size (height, width); None keeps the checkpoint's own."""
        if image_size is None:
            return self
        return replace(self, preprocess=self.preprocess.for_image_size(*image_size))

    def run(self, pixel_values: NDArray[Any]) -> NDArray[Any]:
        """Logits (batch, classes) of ``pixel_values`` (batch, 3, height, width), both float32."""
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


def load_model(source: str | Path | None = None) -> Reference:
    """Load a checkpoint and its preprocessing.

    Args:
        source: a Hugging Face folder, a weights file in one, or a hub id such as
            ``apple/mobilevit-xx-small``; None or ``demo`` is the bundled demo model.

    Raises:
        CheckpointError: the checkpoint cannot be read, or does not say how its input is preprocessed.
        HubError: the hub cannot be reached or has no such model.
    """
    from mobilevit_deploy.demo import demo_checkpoint
    from mobilevit_deploy.image import MobileViTImageProcessor, PreprocessSpec
    from mobilevit_deploy.model import MobileViTForImageClassification
    from mobilevit_deploy.model.checkpoint import resolve_checkpoint

    folder = demo_checkpoint() if source in (None, DEMO) else resolve_checkpoint(source)
    model = MobileViTForImageClassification.from_pretrained(folder)
    home = folder if folder.is_dir() else folder.parent
    if not (home / "preprocessor_config.json").exists():
        raise CheckpointError(
            f"{home} has no preprocessor_config.json, and channel order and scale must not be guessed.",
            remedy="Copy the file from the original model, or write one with "
            f"MobileViTImageProcessor(...).save_pretrained({str(home)!r}).",
        )
    spec = PreprocessSpec.from_processor(MobileViTImageProcessor.from_pretrained(home))
    if spec.input_size is None:
        raise CheckpointError(
            f"{home / 'preprocessor_config.json'} neither crops nor resizes to a fixed size.",
            remedy="A graph needs one: set do_center_crop to true and crop_size to the model's input size.",
        )
    return Reference(
        name=_name(source, home), source=str(source or DEMO), model=model.eval(), preprocess=spec
    )


def _name(source: str | Path | None, home: Path) -> str:
    # A hub id's snapshot lies in a folder named by its commit; its own last part reads better.
    if source in (None, DEMO) or Path(str(source)).exists():
        return home.resolve().name
    return str(source).rsplit("/", maxsplit=1)[-1]
