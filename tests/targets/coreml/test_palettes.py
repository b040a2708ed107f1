"""Palettes of weights: as near as can be, and making up for what they cannot hold."""

from __future__ import annotations

import pytest
import torch
from mobilevit_deploy.targets.coreml.palettes import palette, palettise
from torch import Tensor, nn


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def squared_error(values: Tensor, entries: Tensor, importance: Tensor) -> float:
    distance = (values[:, None] - entries).abs().amin(dim=1)
    return float((importance * distance.square()).sum())


class TestPalette:
    def test_few_values_are_their_own_palette(self) -> None:
        held = torch.linspace(-1, 2, 16).half().double()
        values = held.repeat(40)
        assert torch.equal(palette(values, torch.ones(len(values)).double(), 4), held)

    @pytest.mark.parametrize("bits", [4, 6])
    def test_entries_are_the_means_of_their_clusters(self, bits: int) -> None:
        values, importance = normal(20_000), normal(20_000, seed=1).square() + 0.01
        entries = palette(values, importance, bits)
        nearest = (values[:, None] - entries).abs().argmin(dim=1)
        for number, entry in enumerate(entries):
            own = nearest == number
            mean = (importance[own] * values[own]).sum() / importance[own].sum()
            assert float(entry) == pytest.approx(float(mean), abs=0.02)

    def test_nearer_than_even_steps(self) -> None:
        values, ones = normal(20_000), torch.ones(20_000).double()
        even = torch.linspace(float(values.min()), float(values.max()), 16, dtype=torch.float64)
        assert squared_error(values, palette(values, ones, 4), ones) < 0.5 * squared_error(values, even, ones)

    def test_important_values_are_met_better(self) -> None:
        values = normal(20_000)
        important = torch.where(values > 1, 100.0, 1.0).double()
        plain = palette(values, torch.ones_like(values), 4)
        assert squared_error(values, palette(values, important, 4), important) < 0.7 * squared_error(
            values, plain, important
        )

    def test_float16_holds_every_entry(self) -> None:
        entries = palette(normal(5000), torch.ones(5000).double(), 6)
        assert torch.equal(entries.half().double(), entries)
        assert torch.equal(entries, entries.sort().values)

    def test_all_weights_equal(self) -> None:
        assert set(palette(torch.full((100,), 0.5).double(), torch.ones(100).double(), 4).tolist()) == {0.5}


class TestPalettise:
    """A linear layer whose inputs resemble each other, as real ones do, and are not zero in the mean."""

    inputs = normal(2000, 6) @ normal(6, 48, seed=1) + 0.3 * normal(2000, 48, seed=2) + 0.5
    columns = torch.cat([inputs.T, torch.ones(1, 2000)])
    gram = columns @ columns.T

    @staticmethod
    def layer(bias: bool = True) -> nn.Linear:
        torch.manual_seed(0)
        return nn.Linear(48, 32, bias=bias)

    def error(self, changed: nn.Linear, original: nn.Linear) -> Tensor:
        inputs = self.inputs.float()
        return changed(inputs) - original(inputs)

    @pytest.mark.parametrize("bias", [True, False])
    def test_output_is_nearer_than_with_the_nearest_entries(self, bias: bool) -> None:
        original, made, nearest = self.layer(bias), self.layer(bias), self.layer(bias)
        palettise(made, self.gram, 4)
        weights = original.weight.detach().double().flatten()
        entries = palette(weights, torch.ones_like(weights), 4)
        chosen = entries[(weights[:, None] - entries).abs().argmin(dim=1)]
        with torch.no_grad():
            nearest.weight.copy_(chosen.view(32, 48))
            noise, plain = (self.error(layer, original).square().mean() for layer in (made, nearest))
        assert noise < 0.3 * plain

    def test_weights_come_from_one_palette(self) -> None:
        made = self.layer()
        palettise(made, self.gram, 4)
        assert len(made.weight.unique()) == 16
        assert torch.equal(made.weight.half().float(), made.weight)

    def test_bias_takes_up_what_is_wrong_in_the_mean(self) -> None:
        original, made = self.layer(), self.layer()
        palettise(made, self.gram, 4)
        error = self.error(made, original).detach()
        assert error.mean(dim=0).abs().max() < 0.15 * error.std(dim=0).mean()
        assert not torch.equal(made.bias, original.bias)

    def test_inputs_that_calibration_never_saw(self) -> None:
        dead = self.columns.clone()
        dead[10:20] = 0
        made, original = self.layer(), self.layer()
        palettise(made, dead @ dead.T, 4)
        assert made.weight.isfinite().all()
        reach = original.weight.abs().max()
        assert made.weight.abs().max() <= reach

    def test_convolution_as_the_linear_layer_that_it_is(self) -> None:
        linear, convolution = self.layer(), nn.Conv2d(12, 32, 2)
        with torch.no_grad():
            convolution.weight.copy_(linear.weight.view(32, 12, 2, 2))
            convolution.bias.copy_(linear.bias)  # type: ignore[union-attr]
        for layer in (linear, convolution):
            palettise(layer, self.gram, 4)
        assert torch.equal(linear.weight, convolution.weight.flatten(1))

    def test_same_every_time(self) -> None:
        first, second = self.layer(), self.layer()
        for layer in (first, second):
            palettise(layer, self.gram, 6)
        assert torch.equal(first.weight, second.weight)
        assert torch.equal(first.bias, second.bias)
