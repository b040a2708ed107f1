"""What the TensorFlow models share: config, loading, saving, and the check of their input."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import keras
import torch
from keras import ops

from mobilevit_deploy.model.checkpoint import Checkpoint, save_checkpoint
from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.keras.weights import load_tensors, state_dict
from mobilevit_deploy.model.pretrained import MobileViTPreTrainedModel


class TFMobileViTPreTrainedModel(keras.Model):  # type: ignore[misc]  # Keras has no types
    """What the models share.

    ``save("model.keras")`` and ``keras.saving.load_model`` work once this package is imported.
    ``save_pretrained`` writes what PyTorch reads.
    """

    reference: ClassVar[type[MobileViTPreTrainedModel]]
    """The PyTorch class whose twin this is."""

    def __init__(self, config: MobileViTConfig, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.config = config

    def build(self, input_shape: Any = None) -> None:
        """Nothing: a model has its variables from the start. Keras notes the shape, for exporters."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """[any batch, num_channels, height, width], of the checkpoint's pictures.

        What ``export`` and ``tf.lite.TFLiteConverter.from_keras_model`` make a graph for; calls may differ.
        """
        size = self.config.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return (None, self.config.num_channels, height, width)

    @classmethod
    def from_pretrained(cls, source: str | Path, **arguments: Any) -> Self:
        """Loads a checkpoint of any format that the reference loads, tensor by tensor.

        Args:
            source: a folder, a weights file (Hugging Face's with config.json beside it), or a hub id.
            **arguments: the constructor's, such as ``expand_output``.

        Raises:
            CheckpointError: the checkpoint cannot be read, or does not fit its config or this class.
            HubError: the hub cannot be reached or has no such model.
        """
        checkpoint = Checkpoint.open(source)
        model = cls(checkpoint.config, **arguments)
        load_tensors(model, checkpoint.tensors_for(model._empty_reference(), torch.float32))
        return model

    @classmethod
    def from_reference(cls, reference: MobileViTPreTrainedModel) -> Self:
        """The twin of a PyTorch model in memory, with a copy of its weights.

        Raises:
            TypeError: ``reference`` is of another class than this one's.
        """
        if type(reference) is not cls.reference:
            raise TypeError(
                f"{cls.__name__} is the twin of {cls.reference.__name__}, not of {type(reference).__name__}."
            )
        model = cls(reference.config, **cls._arguments_of(reference))
        load_tensors(model, reference.state_dict())
        return model

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Writes config.json and model.safetensors in PyTorch's layout, which transformers loads too.

        Args:
            folder: where to; made if need be.
            dtype: to store the weights in; ``torch.float16`` halves the file. Unless given, float32.

        Raises:
            CheckpointError: a weight is NaN or Inf, or does not fit into ``dtype``.
            OutputError: the folder cannot be written.
        """
        config = self.config.updated(architectures=(self.reference.__name__,))
        save_checkpoint(Path(folder), config, self.reference_state(), dtype)

    def reference_state(self) -> dict[str, torch.Tensor]:
        """The weights as the reference's state dict."""
        return state_dict(self, self._empty_reference().state_dict())

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes the same model of; Keras writes it into a .keras file."""
        return {"config": self.config.to_dict(), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:  # noqa: ARG003
        """The inverse of ``get_config``."""
        return cls(**{**config, "config": MobileViTConfig.from_dict(config["config"])})

    @classmethod
    def _arguments_of(cls, reference: MobileViTPreTrainedModel) -> dict[str, Any]:  # noqa: ARG003
        """What the constructor needs beside the config to make the twin of ``reference``."""
        return {}

    def _empty_reference(self) -> MobileViTPreTrainedModel:
        """The PyTorch model, for its names and shapes: it holds no memory."""
        with torch.device("meta"):
            return self.reference(self.config)

    def _pictures(self, pixel_values: Any) -> Any:
        """[b, num_channels, h, w] -> [b, h, w, num_channels], checked."""
        channels = self.config.num_channels
        pixel_values = ops.convert_to_tensor(pixel_values)
        shape = tuple(pixel_values.shape)
        if len(shape) != 4 or shape[1] != channels or 0 in shape:
            raise ValueError(
                f"pixel_values must be [batch, {channels}, height, width] with at least one pixel, "
                f"not {list(shape)}."
            )
        if "float" not in keras.backend.standardize_dtype(pixel_values.dtype):
            raise ValueError(f"pixel_values must be floating point in 0..1, not {pixel_values.dtype.name}.")
        return ops.transpose(pixel_values, (0, 2, 3, 1))

    def _wants_hidden_states(self, asked: bool | None) -> bool:
        return self.config.output_hidden_states if asked is None else asked


def published(states: tuple[Any, ...]) -> tuple[Any, ...]:
    """Feature maps [b, h, w, c] as the published models return them: [b, c, h, w]."""
    return tuple(ops.transpose(state, (0, 3, 1, 2)) for state in states)
