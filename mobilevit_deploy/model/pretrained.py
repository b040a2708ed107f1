"""What the models share: loading and saving, the check of their input, and fresh weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from mobilevit_deploy.model.checkpoint import Checkpoint, save_checkpoint
from mobilevit_deploy.model.config import MobileViTConfig


class MobileViTPreTrainedModel(nn.Module):
    """What the models share: their config, loading and saving, and the check of their input."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: torch.dtype = torch.float32, **arguments: Any
    ) -> Self:
        """Loads a checkpoint of Hugging Face, timm or ml-cvnets, ready for inference (``eval()``).

        Args:
            source: a folder, a weights file, or a hub id.
            dtype: to compute in, whatever the file stores.
            **arguments: the constructor's, such as ``expand_output``.

        Raises:
            CheckpointError: the checkpoint cannot be read, or does not fit its config or this class.
            HubError: the hub cannot be reached or has no such model.
        """
        return cls.from_checkpoint(Checkpoint.open(source), dtype=dtype, **arguments)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32, **arguments: Any
    ) -> Self:
        """Loads a checkpoint that was opened before; see ``from_pretrained``."""
        # On the meta device a config that does not fit its weights costs neither memory nor time.
        with torch.device("meta"):
            model = cls(checkpoint.config, **arguments)
        model.load_state_dict(checkpoint.tensors_for(model, dtype), assign=True)
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Writes config.json and model.safetensors, which transformers loads too; both or neither.

        Args:
            folder: where to; made if need be.
            dtype: to store the weights in; ``torch.float16`` halves the file. Unless given, as they are.

        Raises:
            CheckpointError: a weight is NaN or Inf, or does not fit into ``dtype``.
            OutputError: the folder cannot be written.
        """
        config = self.config.updated(architectures=(type(self).__name__,))
        save_checkpoint(Path(folder), config, self.state_dict(), dtype)

    def _check_pixels(self, pixel_values: Tensor) -> None:
        if not isinstance(pixel_values, Tensor):
            raise TypeError(f"pixel_values must be a torch tensor, not {type(pixel_values).__name__}.")
        expected = f"[batch, {self.config.num_channels}, height, width]"
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.config.num_channels:
            raise ValueError(f"pixel_values must be {expected}, not {list(pixel_values.shape)}.")
        if 0 in pixel_values.shape:
            raise ValueError(
                f"pixel_values must be {expected} with at least one pixel: {list(pixel_values.shape)}."
            )
        if not pixel_values.is_floating_point():
            raise ValueError(f"pixel_values must be floating point in 0..1, not {pixel_values.dtype}.")

    def _wants_hidden_states(self, asked: bool | None) -> bool:
        return self.config.output_hidden_states if asked is None else asked


@torch.no_grad()
def initialize(model: nn.Module) -> None:
    """Draws fresh weights under which a picture's signal neither dies nor explodes, even before training.

    Kaiming for convolutions, Xavier for linear layers. The published initialisation (BatchNorm scales near
    zero) gives logits of 1e-41, on which every comparison of two implementations passes.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            # torch's fan_in counts the inputs of one group, as a depthwise convolution needs; its fan_out
            # counts the outputs of all groups, and would all but silence those.
            nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
