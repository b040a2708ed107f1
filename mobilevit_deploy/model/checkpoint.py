"""Reads and writes checkpoints in Hugging Face's layout: config.json beside model.safetensors.

Reading is strict: weights that hold NaN or do not fit their config are refused with the names of the tensors
at fault. Writing replaces whole files or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.config import CONFIG_NAME, MobileViTConfig
from mobilevit_deploy.model.hub import PICKLE_NAME, SAFETENSORS_NAME, resolve_checkpoint
from mobilevit_deploy.model.weights import listed, read_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Checkpoint", "read_config", "resolve_checkpoint", "save_checkpoint"]

BASE_PREFIX = "mobilevit."
"""What Hugging Face puts before the backbone's names in a model with a head."""

_EXPANSION = "conv_1x1_exp."

# Counts training steps and plays no part in inference; some exporters leave it out.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Checkpoint:
    """A config and the file with the weights that go with it."""

    config: MobileViTConfig
    weights: Path

    @classmethod
    def open(cls, source: str | Path) -> Checkpoint:
        """Finds the two files of a folder, a weights file or a hub id; reads the config only.

        Raises:
            CheckpointError: one of them is missing, or the config is no MobileViT's.
            HubError: the hub cannot be reached or has no such model.
        """
        path = resolve_checkpoint(source)
        return cls(config=read_config(path), weights=_weights_file(path))

    def tensors_for(self, model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
        """Reads the weights and fits them to a model.

        Args:
            model: gives names and shapes; may lie on the meta device.
            dtype: of the floating-point tensors returned.

        Raises:
            CheckpointError: the file cannot be read, or a tensor is missing, unexpected, misshapen or
                unusable.
        """
        wanted = model.state_dict()
        found = _without_other_heads(read_tensors(self.weights), wanted)
        _check_fit(self.weights, found, wanted)
        return {name: _converted(self.weights, name, found, dtype) for name in wanted}


def read_config(path: Path) -> MobileViTConfig:
    """Reads the config.json of a folder, or the one beside a file.

    Raises:
        CheckpointError: there is none, or it is no MobileViT's.
    """
    file = (path if path.is_dir() else path.parent) / CONFIG_NAME
    try:
        return MobileViTConfig.from_json_file(file)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no {CONFIG_NAME} in '{file.parent}'.",
            remedy="Pass a folder in Hugging Face's layout: config.json beside model.safetensors.",
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"'{file}' is no JSON: {error}.", remedy="Fetch the file again.") from error
    except ValueError as error:
        raise CheckpointError(f"'{file}' cannot be used: {error}", remedy="Correct the file.") from error
    except OSError as error:
        raise CheckpointError(
            f"'{file}' cannot be read: {error.strerror}.", remedy="Check the file and its permissions."
        ) from error


def save_checkpoint(
    folder: Path, config: MobileViTConfig, tensors: Mapping[str, Tensor], dtype: torch.dtype | None
) -> None:
    """Writes config.json and model.safetensors into a folder, made if need be; both or neither.

    Args:
        folder: where to.
        config: the config.
        tensors: a model's state dict.
        dtype: of the floating-point tensors in the file; ``torch.float16`` halves it. None keeps theirs.

    Raises:
        CheckpointError: a weight is NaN or Inf, or does not fit into ``dtype``.
        OutputError: the folder cannot be written.
    """
    from safetensors.torch import save

    from mobilevit_deploy.output import output_folder, staging

    stored = {name: _storable(name, tensor, dtype) for name, tensor in tensors.items()}
    with staging(output_folder(folder)) as stage:
        # transformers refuses a file that does not say which framework wrote it.
        (stage / SAFETENSORS_NAME).write_bytes(save(stored, metadata={"format": "pt"}))
        (stage / CONFIG_NAME).write_text(config.to_json_string(), encoding="utf-8")
        for name in (SAFETENSORS_NAME, CONFIG_NAME):
            (stage / name).replace(folder / name)


def _weights_file(path: Path) -> Path:
    if path.is_file() and path.name != CONFIG_NAME:
        return path
    folder = path if path.is_dir() else path.parent
    for name in (SAFETENSORS_NAME, PICKLE_NAME):
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"'{folder}' holds neither {SAFETENSORS_NAME} nor {PICKLE_NAME}.",
        remedy="Pass a folder in Hugging Face's layout: config.json beside model.safetensors.",
    )


def _without_other_heads(found: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a model with a head, if the backbone is what is wanted; else everything."""
    if any(name.startswith(BASE_PREFIX) for name in wanted):
        return found
    if any(name.startswith(BASE_PREFIX) for name in found):
        found = {
            name.removeprefix(BASE_PREFIX): tensor
            for name, tensor in found.items()
            if name.startswith(BASE_PREFIX)
        }
    # A backbone without expand_output takes the weights of one with it.
    if not any(name.startswith(_EXPANSION) for name in wanted):
        found = {name: tensor for name, tensor in found.items() if not name.startswith(_EXPANSION)}
    return found


def _check_fit(file: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing = _missing(found, wanted)
    extra = [name for name in found if name not in wanted]
    misshapen = [
        f"{name} is {list(found[name].shape)} and should be {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": extra, "misshapen": misshapen}
    if any(faults.values()):
        told = "; ".join(f"{fault}: {listed(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(
            f"'{file}' does not fit its {CONFIG_NAME} and the model to load: {told}.",
            remedy=_advice(found, wanted),
        )


def _missing(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    return [name for name in wanted if name not in found and not name.endswith(_COUNTER)]


def _advice(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What the names in a file say about what it is."""
    if any(name.startswith("segmentation_head.") for name in found.keys() - wanted.keys()):
        return "This is a segmentation checkpoint, without a classifier; load a classification checkpoint."
    if not any(name.removeprefix(BASE_PREFIX).startswith("conv_stem.") for name in found):
        return "It is not in Hugging Face's layout (perhaps timm's or ml-cvnets'); get that version."
    if not any(name.startswith(BASE_PREFIX) for name in found) and BASE_PREFIX + next(iter(found)) in wanted:
        return "This is a backbone without a head; load it as MobileViTModel."
    missing = _missing(found, wanted)
    if missing and all(name.startswith(_EXPANSION) for name in missing):
        return "This is a backbone without its last convolution; load it with expand_output=False."
    return f"Take the {CONFIG_NAME} and the weights from the same model."


def _converted(file: Path, name: str, found: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    """A tensor of its own memory, in the dtype that the model computes in."""
    import torch

    if name.endswith(_COUNTER):
        return found[name].to(torch.int64) if name in found else torch.tensor(0)
    tensor = found[name]
    if not tensor.is_floating_point():
        raise CheckpointError(
            f"'{file}' stores {name} as {tensor.dtype}; a weight must be floating point.",
            remedy="Pass the checkpoint before it was quantised.",
        )
    # The reader may have mapped the file into memory; a copy survives the file being replaced.
    converted = tensor.to(dtype, copy=True).contiguous()
    _check_values(f"'{file}'", name, converted)
    return converted


def _storable(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.detach().cpu().contiguous()
    stored = tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
    _check_values("The model", name, stored)
    return stored


def _check_values(owner: str, name: str, tensor: Tensor) -> None:
    fault = None
    if tensor.isnan().any():
        fault = "NaN"
    elif tensor.isinf().any():
        fault = f"infinite values, or some too large for {tensor.dtype},"
    elif name.endswith("running_var") and (tensor < 0).any():
        fault = "negative variances"
    if fault:
        raise CheckpointError(
            f"{owner} has {fault} in {name}.", remedy="Take a checkpoint from before it broke."
        )
