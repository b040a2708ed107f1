"""Carries weights between the reference and its TensorFlow twin, by their names and without loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import torch

if TYPE_CHECKING:
    from torch import Tensor

_ATTRIBUTES = {"output": "projection"}
"""Parts of a tensor's name that a Keras layer cannot have as an attribute: ``output`` is taken."""

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}

# Axes of a torch weight in Keras' order, and the way back.
_CONVOLUTION = (2, 3, 1, 0)  # [out, in, kh, kw] -> [kh, kw, in, out]
_DEPTHWISE = (2, 3, 0, 1)  # [c, 1, kh, kw] -> [kh, kw, c, 1]
_LINEAR = (1, 0)
_SAME = (0,)

_COUNTER = "num_batches_tracked"
"""BatchNorm's count of training steps, which Keras does not keep."""


def load_tensors(model: keras.Model, tensors: Mapping[str, Tensor]) -> None:
    """Set a model's variables from the reference's state dict of the same config."""
    for name, variable, axes in _variables(model, tensors):
        variable.assign(tensors[name].detach().permute(axes).numpy())


def state_dict(model: keras.Model, names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reference's state dict that holds a model's variables.

    Args:
        model: the TensorFlow twin.
        names: a state dict of the reference with the same config; may lie on the meta device.
    """
    tensors = {name: torch.tensor(0) for name in names if name.endswith(_COUNTER)}
    for name, variable, axes in _variables(model, names):
        back = [axes.index(axis) for axis in range(len(axes))]
        tensors[name] = torch.from_numpy(variable.numpy().copy()).permute(back).contiguous()
    return {name: tensors[name] for name in names}


def _variables(model: keras.Model, names: Mapping[str, Tensor]) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Name, variable, and the axes of the named tensor in the variable's order."""
    for name in names:
        path, _, kind = name.rpartition(".")
        if kind != _COUNTER:
            yield name, *_variable(_layer(model, path), kind)


def _layer(model: keras.Model, path: str) -> Any:
    layer: Any = model
    for part in path.split("."):
        layer = layer[int(part)] if part.isdigit() else getattr(layer, _ATTRIBUTES.get(part, part))
    return layer


def _variable(layer: Any, kind: str) -> tuple[Any, tuple[int, ...]]:
    if isinstance(layer, keras.layers.BatchNormalization | keras.layers.LayerNormalization):
        return getattr(layer, _NORM[kind]), _SAME
    if kind == "bias":
        return layer.bias, _SAME
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return layer.kernel, _DEPTHWISE
    return layer.kernel, _CONVOLUTION if isinstance(layer, keras.layers.Conv2D) else _LINEAR
