"""Turns the names of another format into Hugging Face's, along its tree of modules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Union

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.weights import listed

if TYPE_CHECKING:
    from torch import Tensor

Tree = Mapping[str, tuple[str, Union["Tree", None]]]
"""Regular expression for a module's name -> what takes its place, and the modules within.

None in the place of the latter says that a parameter's name follows.
"""

BASE_PREFIX = "mobilevit."
"""What Hugging Face puts before the backbone's names in a model with a head."""

HEADS = ("classifier.", "segmentation_head.")

_PARAMETERS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

_FUSED = ".qkv."
_PARTS = (".query.", ".key.", ".value.")


def renamed(
    source: str, tensors: Mapping[str, Tensor], tree: Tree, *, unused: Sequence[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """Gives tensors Hugging Face's names, and splits a projection to query, key and value into its three.

    Args:
        source: where they come from, for messages.
        tensors: by their original names.
        tree: the format's modules.
        unused: beginnings of names that play no part in inference.

    Returns:
        The tensors by their new names, and the original names of what was left out.

    Raises:
        CheckpointError: a name is not in the tree, or two become one.
    """
    dropped = [name for name in tensors if name.startswith(tuple(unused))]
    kept = {name: tensor for name, tensor in tensors.items() if name not in dropped}
    new_names = {name: new_name(name, tree) for name in kept}
    unknown = [name for name, new in new_names.items() if new is None]
    if unknown:
        raise CheckpointError(
            f"'{source}' holds tensors that are no part of a MobileViT: {listed(unknown)}.",
            remedy="Save the weights of the MobileViT alone, without what was built around it.",
        )
    parts = [
        part for name, new in new_names.items() if new for part in _split(source, new, kept[name]).items()
    ]
    found = dict(parts)
    if len(found) < len(parts):
        twice = [name for i, (name, _) in enumerate(parts) if name in dict(parts[:i])]
        raise CheckpointError(
            f"'{source}' holds more than one tensor for {listed(twice)}.",
            remedy="Save the state dict of one model.",
        )
    if any(name.startswith(HEADS) for name in found):
        found = {
            name if name.startswith(HEADS) else BASE_PREFIX + name: tensor for name, tensor in found.items()
        }
    return found, dropped


def new_name(name: str, tree: Tree) -> str | None:
    """What a tensor is called in Hugging Face's layout, without the backbone's prefix; None if unknown."""
    for pattern, (template, within) in tree.items():
        if match := re.match(pattern, name):
            rest = name[match.end() :]
            inner = (rest if rest in _PARAMETERS else None) if within is None else new_name(rest, within)
            if inner is not None:
                return match.expand(template) + inner
    return None


def _split(source: str, name: str, tensor: Tensor) -> dict[str, Tensor]:
    if _FUSED not in name:
        return {name: tensor}
    if tensor.ndim == 0 or tensor.shape[0] % len(_PARTS):
        raise CheckpointError(
            f"'{source}' has {name} of shape {list(tensor.shape)}, which is no three projections.",
            remedy="Fetch the file again.",
        )
    thirds = tensor.chunk(len(_PARTS))
    return {name.replace(_FUSED, part): third for part, third in zip(_PARTS, thirds, strict=True)}
