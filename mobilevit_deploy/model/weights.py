"""Reads the tensors of a weights file, whatever state it is in, and never runs code from it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_PICKLE_SUFFIXES = (".bin", ".pt", ".pth")
_GIT_LFS_POINTER = b"version https://git-lfs"
_MOST_NAMES = 5


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Reads a .safetensors file, or a pickled state dict (.bin, .pt, .pth) without executing it.

    Raises:
        CheckpointError: it cannot be read, is empty, truncated, corrupt or a git-lfs pointer, would run code,
            or holds something other than tensors.
    """
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
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix in _PICKLE_SUFFIXES:
        return _read_pickle(file)
    raise CheckpointError(
        f"'{file}' is no weights file; .safetensors, {', '.join(_PICKLE_SUFFIXES)} are.",
        remedy="Pass the checkpoint's folder.",
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


def _read_pickle(file: Path) -> dict[str, Tensor]:
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
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
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"'{file}' holds a {type(content).__name__}, no state dict.",
            remedy="Save the model's state_dict().",
        )
    others = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(
            f"'{file}' is no state dict: {listed(others)} are no tensors.",
            remedy="Save the model's state_dict() alone, without optimiser or wrapper.",
        )
    return dict(content)


def _corrupt_pickle(file: Path) -> CheckpointError:
    return CheckpointError(f"'{file}' is truncated or corrupt.", remedy="Fetch the file again.")


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    shown = list(names)
    rest = len(shown) - _MOST_NAMES
    return ", ".join(shown[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
