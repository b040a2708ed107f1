"""Which blocks of a model suffer from 8 bits: each is quantised alone, and the logits tell.

The simulation is of no runtime in particular: weights symmetric with a scale an output channel, inputs and
outputs of every convolution and linear layer with one scale and zero point found by minimum and maximum, as
mobile kernels have it (Krishnamoorthi, arXiv 1806.08342, section 3). Products of attention, softmax and
LayerNorm stay in floating point.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mobilevit_deploy.model.layers import Attention, ConvLayer, Intermediate, InvertedResidual, Projection
from mobilevit_deploy.parity.metrics import sqnr_db
from mobilevit_deploy.progress import OnStage, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.reference import Reference

_BLOCKS = (InvertedResidual, ConvLayer, Attention, Intermediate, Projection, nn.Linear)
_LEVELS = 255
_NEGLIGIBLE = 0.01
"""Share of all blocks' noise below which keeping a block in floating point cannot save an export."""


@dataclass(frozen=True)
class BlockSensitivity:
    """A block and what quantising it alone does.

    Attributes:
        path: of the module in the reference, without the backbone's ``mobilevit.``.
        sqnr_db: of the logits.
        multiply_adds: of one inference at the reference's input size.
        parameters: weights and biases.
    """

    path: str
    sqnr_db: float
    multiply_adds: int
    parameters: int

    @property
    def noise(self) -> float:
        """Power of its error, the logits' own being 1."""
        return float(10 ** (-self.sqnr_db / 10))


@dataclass(frozen=True)
class Sensitivity:
    """All blocks of a model, in the order in which data pass them; ``pictures`` were looked at."""

    blocks: tuple[BlockSensitivity, ...]
    pictures: int

    def order(self) -> list[str]:
        """Paths in the order in which to leave them in floating point: most noise a multiply-add first."""
        total = sum(block.noise for block in self.blocks)
        noisy = [block for block in self.blocks if block.noise > _NEGLIGIBLE * total]
        best_first = sorted(noisy, key=lambda block: -block.noise / block.multiply_adds)
        return [block.path for block in best_first]


def analyse(
    reference: Reference, inputs: Sequence[NDArray[Any]], *, on_stage: OnStage = lambda _: None
) -> Sensitivity:
    """Quantise each block alone and compare the logits.

    Args:
        reference: the model; stays as it is.
        inputs: pixel_values (1, channels, height, width), float32, of a dozen pictures or more.
        on_stage: told how far it is.
    """
    pixel_values = torch.from_numpy(_stacked(inputs))
    model = copy.deepcopy(reference.model).eval()
    simulation = _Simulation(model)
    with torch.inference_mode():
        logits = simulation.calibrate(pixel_values).numpy()
        found = []
        for path, block in counted(list(_blocks(model)), "analyse", on_stage):
            with simulation.quantised(block):
                noisy = model(pixel_values).logits.numpy()
            found.append(
                BlockSensitivity(
                    path.removeprefix("mobilevit."),
                    sqnr_db(logits, noisy),
                    sum(simulation.multiply_adds[layer] for layer in _layers(block)) // len(inputs),
                    sum(parameter.numel() for parameter in block.parameters()),
                )
            )
    return Sensitivity(tuple(found), len(inputs))


def _stacked(inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    import numpy as np

    return np.concatenate(list(inputs))


def _blocks(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, _BLOCKS):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _blocks(child, f"{path}.{name}" if path else name)


def _layers(block: nn.Module) -> list[nn.Module]:
    return [layer for layer in block.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def _around(block: nn.Module) -> dict[nn.Module, nn.Module]:
    """Each convolution and linear layer of ``block``, and where its output is: behind a fused activation."""
    around = {layer: layer for layer in _layers(block)}
    for module in block.modules():
        if isinstance(module, ConvLayer):
            around[module.convolution] = module
        elif isinstance(module, Intermediate):
            around[module.dense] = module
    return around


class _Simulation:
    """Rounds weights and activations of chosen blocks to the steps that 8 bits have."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._ranges: dict[tuple[nn.Module, str], tuple[float, float]] = {}
        self._ends = _around(model)
        self.multiply_adds: dict[nn.Module, int] = {}

    def calibrate(self, pixel_values: Tensor) -> Tensor:
        """Find all ranges; returns the logits."""
        hooks = []
        for layer, end in self._ends.items():
            hooks.append(layer.register_forward_hook(self._count))
            hooks.append(layer.register_forward_pre_hook(self._note_input))
            hooks.append(end.register_forward_hook(self._note_output))
        logits: Tensor = self._model(pixel_values).logits
        for hook in hooks:
            hook.remove()
        return logits

    def quantised(self, block: nn.Module) -> _Quantised:
        """A context in which ``block`` computes in 8 bits."""
        return _Quantised({layer: self._ends[layer] for layer in _layers(block)}, self._ranges)

    def _count(self, layer: nn.Module, _: Any, output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        self.multiply_adds[layer] = output.numel() * weight[0].numel()

    def _note_input(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._ranges[layer, "input"] = _range(inputs[0])

    def _note_output(self, layer: nn.Module, _: Any, output: Tensor) -> None:
        self._ranges[layer, "output"] = _range(output)


class _Quantised:
    """Quantises some layers while it is entered."""

    def __init__(
        self, ends: dict[nn.Module, nn.Module], ranges: dict[tuple[nn.Module, str], tuple[float, float]]
    ) -> None:
        self._ends = ends
        self._ranges = ranges
        self._undo: list[Any] = []

    def __enter__(self) -> None:
        for layer, end in self._ends.items():
            weight = layer.weight
            assert isinstance(weight, Tensor)
            self._undo.append((layer, weight.data))
            weight.data = _rounded_channels(weight.data)
            self._undo.append(layer.register_forward_pre_hook(self._round_input))
            self._undo.append(end.register_forward_hook(self._round_output))

    def __exit__(self, *_: object) -> None:
        for undo in self._undo:
            if isinstance(undo, tuple):
                undo[0].weight.data = undo[1]
            else:
                undo.remove()

    def _round_input(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (_rounded(inputs[0], *self._ranges[layer, "input"]), *inputs[1:])

    def _round_output(self, layer: nn.Module, _: Any, output: Tensor) -> Tensor:
        return _rounded(output, *self._ranges[layer, "output"])


def _range(values: Tensor) -> tuple[float, float]:
    """Minimum and maximum, zero included: padding must be exact."""
    return min(0.0, values.min().item()), max(0.0, values.max().item())


def _rounded(values: Tensor, low: float, high: float) -> Tensor:
    step = max(high - low, 1e-12) / _LEVELS
    zero = round(-low / step)
    return ((values / step).round() + zero).clamp(0, _LEVELS).sub(zero).mul(step)


def _rounded_channels(weight: Tensor) -> Tensor:
    """Each output channel in 255 steps from minus to plus its largest weight."""
    largest = weight.abs().flatten(1).amax(1).clamp(min=1e-12)
    step = (largest / (_LEVELS // 2)).view(-1, *[1] * (weight.dim() - 1))
    return (weight / step).round() * step
