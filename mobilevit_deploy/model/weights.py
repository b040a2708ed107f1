"""Reads the tensors of a weights file, whatever state it is in, and never runs code from it."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".tar")
WEIGHTS_SUFFIXES = (".safetensors", *_PICKLE_SUFFIXES)
"""What a file may be called that holds weights."""

# Where training checkpoints keep the weights: ml-cvnets' name, timm's, and what others are called. Those that
# training averaged over its steps (exponential moving average) are the ones that its scores were measured on.
_AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema")
_LAST = ("model_state_dict", "state_dict", "model")

# What DistributedDataParallel, torch.compile, Lightning and transformers' TimmWrapper put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "timm_model.")

# torch's AveragedModel counts its steps beside the weights.
_AVERAGED_STEPS = "n_averaged"

_GIT_LFS_POINTER = b"version https://git-lfs"
_MOST_NAMES = 5


@dataclass(frozen=True)
class StoredWeights:
    """The tensors of a file.

    Attributes:
        tensors: by name, without what a wrapper put before every name.
        entry: the part of a training checkpoint that they come from; empty if the file is a state dict.
    """

    tensors: dict[str, Tensor]
    entry: str = ""

    @property
    def averaged(self) -> bool:
        """Whether they are the moving average that training kept."""
        return self.entry in _AVERAGED


def read_weights(file: Path, *, ema: bool | None = None) -> StoredWeights:
    """Reads a .safetensors file, or a pickle (.bin, .pt, .pth, .ckpt, .pth.tar) without executing it.

    A pickle is a state dict or a training checkpoint, of which the optimiser and the like are left.

    Args:
        file: the file.
        ema: of a training checkpoint, whether to take the averaged weights (EMA) or those of the last step.
            Unless given, the averaged ones if there are any.

    Raises:
        CheckpointError: it cannot be read, is empty, truncated, corrupt or a git-lfs pointer, would run code,
            holds no weights, or not those asked for.
    """
    _check_start(file)
    if file.suffix == ".safetensors":
        stored = StoredWeights(_read_safetensors(file))
    elif file.suffix in _PICKLE_SUFFIXES:
        stored = _weights_within(file, _read_pickle(file), ema)
    else:
        raise CheckpointError(
            f"'{file}' is no weights file; {', '.join(WEIGHTS_SUFFIXES)} are.",
            remedy="Pass the checkpoint's folder.",
        )
    if ema and not stored.averaged:
        raise CheckpointError(
            f"'{file}' holds no averaged (EMA) weights.",
            remedy="Take the weights that are there: without --ema.",
        )
    return StoredWeights(_unwrapped(stored.tensors), stored.entry)


def _check_start(file: Path) -> None:
    """Tells an empty file and a git-lfs pointer apart from broken weights."""
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_GIT_LFS_POINTER))
    except OSError as error:
        raise CheckpointError(
            f"'{file}' cannot be read: {error.strerror}.", remedy="Check the file and its permissions."
        ) from error
    if not start:
        raise CheckpointError(f"'{file}' is empty.", remedy="Fetch the file again.")
    if start == _GIT_LFS_POINTER:
        raise CheckpointError(
            f"'{file}' is a git-lfs pointer, not the weights.", remedy="Fetch them with: git lfs pull"
        )


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"'{file}' is truncated or corrupt: {error}.", remedy="Fetch the file again."
        ) from error


def _read_pickle(file: Path) -> Any:
    import torch

    try:
        with torch.serialization.safe_globals(_plain_data()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # A corrupt pickle raises the same error; only one that asks for a class or function names it.
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise _corrupt_pickle(file) from error
        raise CheckpointError(
            f"'{file}' was refused: it is a pickle that would run code ({code[1]}).",
            remedy="Get the weights as model.safetensors, from someone you trust.",
        ) from error
    except Exception as error:
        # A damaged pickle fails in as many ways as there are opcodes; none of them is ours to tell apart.
        raise _corrupt_pickle(file) from error


def _plain_data() -> list[Any]:
    """What training checkpoints keep beside tensors, and what does nothing but hold values.

    The options of the training script, as timm saves them, and scores that are numpy's numbers.
    """
    import numpy as np

    rebuild_scalar = np.float64(0).__reduce__()[0]  # private to numpy by any name of its own
    kinds = (np.float64, np.float32, np.int64)
    return [argparse.Namespace, rebuild_scalar, np.dtype, *(type(np.dtype(kind)) for kind in kinds)]


def _weights_within(file: Path, content: Any, ema: bool | None) -> StoredWeights:
    """Finds the state dict in what a pickle holds."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"'{file}' holds a {type(content).__name__}, no state dict.",
            remedy="Save the model's state_dict().",
        )
    if _is_state_dict(content):
        return StoredWeights(dict(content))
    wanted = {None: (*_AVERAGED, *_LAST), True: _AVERAGED, False: _LAST}[ema]
    entries = [name for name in wanted if _is_state_dict(content.get(name))]
    if entries:
        return StoredWeights(dict(content[entries[0]]), entries[0])
    others = [str(name) for name, value in content.items() if not _is_tensor(value)]
    asked = {None: "", True: "averaged (EMA) ", False: "last step's "}[ema]
    told = f": {listed(others)} are no tensors" if others else ""
    raise CheckpointError(
        f"'{file}' holds no {asked}weights{told}.",
        remedy="Save the model's state_dict() alone, without optimiser or wrapper.",
    )


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and _is_tensor(tensor) for name, tensor in value.items())
    )


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Takes off the names what was put before every one of them, however often."""
    tensors = {name: tensor for name, tensor in tensors.items() if name != _AVERAGED_STEPS}
    names = list(tensors)
    while prefix := next((p for p in _WRAPPERS if names and all(name.startswith(p) for name in names)), ""):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, tensors.values(), strict=True))


def _corrupt_pickle(file: Path) -> CheckpointError:
    return CheckpointError(f"'{file}' is truncated or corrupt.", remedy="Fetch the file again.")


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    shown = list(names)
    rest = len(shown) - _MOST_NAMES
    return ", ".join(shown[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
