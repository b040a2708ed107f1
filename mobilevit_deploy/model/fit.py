"""Fits the tensors of a checkpoint to a model: every name and shape, and usable numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.formats.renaming import BASE_PREFIX
from mobilevit_deploy.model.weights import listed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_EXPANSION = "conv_1x1_exp."

# Counts training steps and plays no part in inference; some exporters leave it out.
_COUNTER = "num_batches_tracked"


def fit(
    file: Path, found: dict[str, Tensor], wanted: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Gives a model the tensors that it wants, of their own memory.

    Args:
        file: where they come from, for messages.
        found: what the checkpoint holds, under Hugging Face's names.
        wanted: the model's state dict.
        dtype: of the floating-point tensors returned, whatever the file stores.

    Raises:
        CheckpointError: a tensor is missing, unexpected, misshapen or unusable.
    """
    found = _without_other_heads(found, wanted)
    _check_fit(file, found, wanted)
    return {name: _converted(file, name, found, dtype) for name in wanted}


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
    extra = [name for name in found if name not in wanted and not name.endswith(_COUNTER)]
    misshapen = [
        f"{name} is {list(found[name].shape)} and should be {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": extra, "misshapen": misshapen}
    if any(faults.values()):
        told = "; ".join(f"{fault}: {listed(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(
            f"'{file}' does not fit its config and the model to load: {told}.",
            remedy=_advice(found, wanted),
        )


def _missing(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    return [name for name in wanted if name not in found and not name.endswith(_COUNTER)]


def _advice(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What the names in a file say about what it is."""
    head, wanted_head = _head(found), _head(wanted)
    if head in _CLASSES and wanted_head and head != wanted_head:
        kind, name = _CLASSES[head]
        return (
            f"This is a {kind} checkpoint; load it as {name}, which its config's 'architectures' should say."
        )
    if not any(name.removeprefix(BASE_PREFIX).startswith("conv_stem.") for name in found):
        return "Its config.json is Hugging Face's, its weights are not; pass the weights file alone."
    if not any(name.startswith(BASE_PREFIX) for name in found) and BASE_PREFIX + next(iter(found)) in wanted:
        return "This is a backbone without a head; load it as MobileViTModel."
    missing = _missing(found, wanted)
    if missing and all(name.startswith(_EXPANSION) for name in missing):
        return "This is a backbone without its last convolution; load it with expand_output=False."
    return "Take the config.json and the weights from the same model."


_CLASSES = {
    "classifier": ("classification", "MobileViTForImageClassification"),
    "segmentation_head": ("segmentation", "MobileViTForSemanticSegmentation"),
}


def _head(tensors: Mapping[str, Tensor]) -> str:
    return next((head for head in _CLASSES if any(name.startswith(f"{head}.") for name in tensors)), "")


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
    check_values(f"'{file}'", name, converted)
    return converted


def check_values(owner: str, name: str, tensor: Tensor) -> None:
    """Refuses numbers that nothing can be computed with.

    Raises:
        CheckpointError: NaN, Inf, or a variance below zero.
    """
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
