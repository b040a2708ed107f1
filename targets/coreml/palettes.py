"""Palettes: few numbers, of which every weight of a layer is one, chosen for what the layer computes.

The nearest entry for each weight is not the best choice: what matters is the layer's output. So the weights
of one input after the other take their entries, and those of the inputs still to come, and at last the bias,
make up for the error as far as the inputs resemble each other (GPTQ, Frantar et al., arXiv 2210.17323). On
the bundled classifier that leaves a tenth of the noise, for 1 to 2 s at export and nothing on the phone.

Shape letters: o outputs, i inputs of a layer (of a convolution, those of one output place), k entries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROUNDS = 50
"""Of Lloyd's algorithm, which has settled by then."""

_DAMPING = 0.01
"""Share of the inputs' mean power that is added to each: those that calibration hardly saw stay tame."""

_LEAST_WEIGHT = 1e-4
"""Of an input's power, next to the mean, in the palette: weights of dead inputs have to go somewhere too."""

_BLOCK = 64
"""Inputs after which the error is spread over all that are still to come: one product instead of many."""


@torch.no_grad()
def palettise(layer: nn.Conv2d | nn.Linear, gram: Tensor, bits: int) -> None:
    """Give every weight of a layer one of ``2 ** bits`` values that float16 can hold; its bias changes too.

    Args:
        layer: a convolution without groups, or a linear layer; changed in place.
        gram: [i + 1, i + 1], sum of the products of its inputs and a 1, over calibration pictures.
        bits: of an index into the palette.
    """
    weight = layer.weight.flatten(1).double()  # [o, i]
    inputs = weight.shape[1]
    power = gram.diagonal()[:inputs].double()
    importance = (power / power.mean()).clamp(min=_LEAST_WEIGHT).expand_as(weight)
    entries = palette(weight.flatten(), importance.flatten(), bits)

    order = power.argsort(descending=True, stable=True)
    columns, moving = order, weight[:, order]
    if layer.bias is not None:
        columns = torch.cat([order, torch.tensor([inputs])])
        moving = torch.cat([moving, layer.bias.double()[:, None]], dim=1)
    chosen = _compensated(moving, gram.double()[columns][:, columns], entries, inputs)

    result = torch.empty_like(weight)
    result[:, order] = chosen[:, :inputs]
    layer.weight.copy_(result.view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(chosen[:, inputs])


def palette(values: Tensor, importance: Tensor, bits: int) -> Tensor:
    """The ``2 ** bits`` numbers that are nearest to ``values``, in the weighted mean of squares (k-means).

    In one dimension clusters are intervals, and sums over them differences of running sums: no distance is
    ever computed. It starts from quantiles, and has no chance in it.

    Args:
        values: [n], float64.
        importance: [n], positive.
        bits: of an index.

    Returns:
        [2 ** bits], ascending, float64 that float16 can hold.
    """
    count = 2**bits
    ascending, order = values.sort()
    mass = _running_sum(importance[order])
    moment = _running_sum(importance[order] * ascending)
    places = ((torch.arange(count) + 0.5) / count * len(values)).long()
    reach = torch.linspace(float(ascending[0]), float(ascending[-1]), count, dtype=torch.float64)
    # Quantiles crowd where most weights are, even steps reach those far out: half of each.
    entries = (ascending[places] + reach) / 2
    for _ in range(_ROUNDS):
        inner = torch.searchsorted(ascending, _middles(entries))
        bounds = torch.cat([torch.tensor([0]), inner, torch.tensor([len(values)])])
        share = mass[bounds].diff()
        entries = torch.where(share > 0, moment[bounds].diff() / share.clamp(min=1e-300), entries)
    return entries.sort().values.half().double()


def _compensated(weight: Tensor, gram: Tensor, entries: Tensor, inputs: int) -> Tensor:
    """Weights [o, >= inputs]: the first ``inputs`` columns from the palette, the rest making up for them."""
    damped = gram + torch.eye(len(gram)) * (_DAMPING * gram.diagonal()[:inputs].mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    spread = torch.linalg.cholesky(inverse, upper=True)
    middles = _middles(entries)
    result = weight.clone()
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        errors = []
        for column in range(start, stop):
            wanted = result[:, column].clone()
            result[:, column] = entries[torch.searchsorted(middles, wanted)]
            error = (wanted - result[:, column]) / spread[column, column]
            result[:, column + 1 : stop] -= error[:, None] * spread[column, column + 1 : stop]
            errors.append(error)
        result[:, stop:] -= torch.stack(errors, dim=1) @ spread[start:stop, stop:]
    return result


def _middles(entries: Tensor) -> Tensor:
    return (entries[1:] + entries[:-1]) / 2


def _running_sum(values: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, dtype=values.dtype), values.cumsum(0)])
