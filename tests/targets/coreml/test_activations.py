"""Layers in 8 bits, against the same arithmetic written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mobilevit_deploy.targets.coreml.activations import Int8Layer, input_scale
from numpy.typing import NDArray
from torch import nn

SCALE = 0.03125


def rounded(
    values: NDArray[np.float32], scale: NDArray[np.float32] | float, lowest: int
) -> NDArray[np.float32]:
    result: NDArray[np.float32] = np.clip(np.rint(values / scale), lowest, 127) * scale
    return result


def rounded_weight(layer: nn.Conv2d | nn.Linear) -> torch.Tensor:
    weight = layer.weight.detach().numpy()
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    scale = (largest / 127).astype(np.float16).astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
    return torch.tensor(rounded(weight, scale, -127))


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 5, bias=bias)
    inputs = torch.randn(2, 7, 6) * 2  # beyond 127 * SCALE = 4 now and then
    expected = F.linear(torch.tensor(rounded(inputs.numpy(), SCALE, -128)), rounded_weight(layer), layer.bias)
    torch.testing.assert_close(Int8Layer(layer, SCALE)(inputs), expected)


def test_convolution_keeps_stride_padding_and_dilation() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, stride=2, padding=2, dilation=2)
    inputs = torch.randn(1, 3, 9, 11)
    expected = F.conv2d(
        torch.tensor(rounded(inputs.numpy(), SCALE, -128)), rounded_weight(layer), layer.bias, 2, 2, 2
    )
    torch.testing.assert_close(Int8Layer(layer, SCALE)(inputs), expected)


def test_weights_alone() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(6, 5), torch.randn(2, 6) * 9
    expected = F.linear(inputs, rounded_weight(layer), layer.bias)
    torch.testing.assert_close(Int8Layer(layer, None)(inputs), expected)


def test_output_without_weights_is_zero_not_nan() -> None:
    layer = nn.Linear(4, 2)
    nn.init.zeros_(layer.weight)
    torch.testing.assert_close(Int8Layer(layer, SCALE)(torch.ones(1, 4)), layer.bias.detach()[None])


class TestInputScale:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0))

    @staticmethod
    def error(values: torch.Tensor, scale: float) -> float:
        return float(((values / scale).round().clamp(-128, 127) * scale - values).square().mean())

    def test_one_value_far_out_does_not_coarsen_all(self) -> None:
        values = torch.cat([self.values, torch.tensor([12.0])])
        scale = input_scale(values)
        assert 127 * scale < 11.5
        assert self.error(values, scale) < self.error(values, 12 / 127)

    def test_all_of_an_even_range_is_kept(self) -> None:
        assert input_scale(torch.linspace(-4, 4, 1000)) == pytest.approx(4 / 127, rel=0.03)

    def test_float16_holds_it(self) -> None:
        scale = input_scale(self.values)
        assert np.float16(scale) == scale

    def test_inputs_that_are_all_zero(self) -> None:
        assert input_scale(torch.zeros(10)) > 0
