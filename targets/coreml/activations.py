"""Layers that compute in 8 bits: their inputs quantised with a scale found by calibration, and their weights.

Exported, such a layer becomes ``quantize`` and ``dequantize`` before the operation, and its weights
``constexpr_affine_dequantize``: the pattern that coremltools' own ``linear_quantize_activations`` writes,
and that Core ML computes in integers where the Neural Engine can (A17 Pro, M4). That function calibrates by
running the model in Core ML, on a Mac; here PyTorch does.
"""

from __future__ import annotations

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
import torch.nn.functional as F
from torch import Tensor, nn

_OPS = torch.ops.quantized_decomposed
_LOWEST, _HIGHEST = -128, 127
_CLIPS = torch.linspace(0.2, 1.0, 33)
"""Shares of the largest input that are tried as the end of the range."""


class Int8Layer(nn.Module):
    """A convolution (without groups) or linear layer with weights and inputs in 8 bits, symmetric.

    Args:
        layer: what it replaces.
        scale: of the inputs, by ``input_scale``; None leaves them as they are.
    """

    weight: Tensor
    weight_scale: Tensor
    weight_zero: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, scale: float | None) -> None:
        super().__init__()
        self.scale = scale
        weight = layer.weight.detach()
        largest = weight.flatten(1).abs().amax(dim=1).clamp(min=torch.finfo(torch.float16).tiny)
        steps = (largest / _HIGHEST).half().float()  # as the file holds them
        levels = weight / steps.view(-1, *[1] * (weight.dim() - 1))
        self.register_buffer("weight", levels.round().clamp(-_HIGHEST, _HIGHEST).to(torch.int8))
        self.register_buffer("weight_scale", steps)
        self.register_buffer("weight_zero", torch.zeros(len(weight), dtype=torch.int8))
        self.bias = layer.bias
        self.convolution = geometry(layer) if isinstance(layer, nn.Conv2d) else None

    def forward(self, features: Tensor) -> Tensor:
        """As the layer that it replaces."""
        inputs = features if self.scale is None else _there_and_back(features, self.scale)
        weight = _OPS.dequantize_per_channel(
            self.weight, self.weight_scale, self.weight_zero, 0, -_HIGHEST, _HIGHEST, torch.int8
        )
        if self.convolution is None:
            return F.linear(inputs, weight, self.bias)
        stride, padding, dilation = self.convolution
        return F.conv2d(inputs, weight, self.bias, stride, padding, dilation)


def _there_and_back(features: Tensor, scale: float) -> Tensor:
    limits = (_LOWEST, _HIGHEST, torch.int8)
    levels = _OPS.quantize_per_tensor(features, scale, 0, *limits)
    result: Tensor = _OPS.dequantize_per_tensor(levels, scale, 0, *limits)
    return result


def geometry(layer: nn.Conv2d) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Stride, padding and dilation."""
    if isinstance(layer.padding, str):
        raise NotImplementedError(f"padding '{layer.padding}'")
    return layer.stride, layer.padding, layer.dilation


def input_scale(values: Tensor) -> float:
    """The scale with which 8 bits are nearest to ``values``, in the mean of squares.

    Values beyond the range become its ends: a few far out are worth less than finer steps for all others.
    """
    largest = float(values.abs().max())
    if largest == 0:
        return 1.0
    scales = _CLIPS * largest / _HIGHEST
    errors = [_squared_error(values, float(scale)) for scale in scales]
    return float(scales[errors.index(min(errors))].half())  # as the file holds it


def _squared_error(values: Tensor, scale: float) -> float:
    rounded = (values / scale).round().clamp(_LOWEST, _HIGHEST) * scale
    return float((rounded - values).square().mean())
