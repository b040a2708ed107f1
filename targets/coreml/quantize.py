"""Weights in fewer bits, and for ``int8`` activations too: which layers, and how they come into the package.

``int8`` and palettes change the graph before it is converted, on calibration pictures, and conversion carries
over what is there; ``int8-weights`` needs no pictures, and changes the converted program.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.model.layers import InvertedResidual
from mobilevit_deploy.model.rewritten_map import PointwiseLinear
from mobilevit_deploy.quantize import Precision, inside

from .activations import Int8Layer, geometry, input_scale
from .palettes import palettise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mobilevit_deploy.target import ExportOptions

PALETTES = frozenset({Precision.PALETTE6, Precision.PALETTE4})

_SMALLEST = 2048
"""Weights of fewer values cost little, and stay as they are."""

_PICTURES = 32
"""Calibration pictures that palettes are chosen on; more change little, and take their time."""

_SAMPLES = 1024
"""Values of a layer's input that are looked at, for each picture."""

_BITS = (4, 6)
"""Of an index into a palette."""

_MOST_ENTRIES = 2 ** max(_BITS)

Layer = nn.Conv2d | nn.Linear


@torch.no_grad()
def prepare(graph: nn.Module, options: ExportOptions) -> nn.Module:
    """The graph to be converted: ``graph`` itself, or a copy with layers quantised.

    Args:
        graph: in evaluation mode, BatchNorm folded; stays as it is.
        options: precision, calibration pictures, and modules that stay in float16.

    Raises:
        ExportError: the precision asks for calibration pictures, and there are none.
    """
    if options.precision is Precision.INT8:
        return _with_int8_layers(copy.deepcopy(graph), options)
    if options.precision in PALETTES:
        return _with_palettes(copy.deepcopy(graph), options)
    return graph


def encode(model: Any, precision: Precision) -> Any:
    """Store the weights of a converted model in the bits of its precision.

    Args:
        model: coremltools' ``MLModel`` of an ML program.
        precision: ``int8-weights`` rounds them, symmetric, with a scale for each output channel. Palettes are
            in the weights already, and are found there.

    Returns:
        Another ``MLModel``, or the one given if there is nothing to do.
    """
    from coremltools.optimize import coreml as cto

    if precision is Precision.INT8_WEIGHTS:
        linear = cto.OpLinearQuantizerConfig(
            mode="linear_symmetric", granularity="per_channel", weight_threshold=_SMALLEST
        )
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))
    if precision in PALETTES:
        found = cto.OpPalettizerConfig(mode="custom", lut_function=_found, weight_threshold=_SMALLEST)
        weights = cto.get_weights_metadata(model, weight_threshold=_SMALLEST)
        named = {
            name: found for name, weight in weights.items() if len(_entries(weight.val)) <= _MOST_ENTRIES
        }
        return cto.palettize_weights(model, cto.OptimizationConfig(op_name_configs=named))
    return model


def _entries(weight: NDArray[Any]) -> NDArray[Any]:
    # Not of float16: numpy's sort of that (2.x, AVX-512) leaves equal values apart, and finds 28 of 16.
    return np.unique(weight.astype(np.float32))


def _found(weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The palette that is in a weight already, padded to a power of two, and each value's place in it."""
    entries = _entries(weight)
    held = next(2**bits for bits in _BITS if len(entries) <= 2**bits)
    palette = np.pad(entries, (0, held - len(entries)), mode="edge")
    return palette.astype(weight.dtype), np.searchsorted(entries, weight.flatten().astype(np.float32))


def bits(layer: Layer, precision: Precision) -> int:
    """Of an index into a layer's palette.

    With ``palette4`` 1x1 convolutions keep 6: they are few weights, every channel passes through them, and
    the noise of 4 bits in one of them is that of 4 bits in all transformers.
    """
    linear = isinstance(layer, nn.Linear | PointwiseLinear)
    pointwise = not linear and layer.kernel_size == (1, 1)
    return 6 if precision is Precision.PALETTE6 or pointwise else 4


def _with_palettes(graph: nn.Module, options: ExportOptions) -> nn.Module:
    layers = {name: layer for name, layer in _layers(graph, options) if layer.weight.numel() >= _SMALLEST}
    grams: dict[str, Tensor] = {}
    for name, features in _inputs(graph, layers, options, most=_PICTURES):
        columns = _columns(layers[name], features)
        grams.setdefault(name, torch.zeros(len(columns), len(columns))).addmm_(columns, columns.T)
    for name, layer in layers.items():
        palettise(layer, grams[name], bits(layer, options.precision))
    return graph


def _with_int8_layers(graph: nn.Module, options: ExportOptions) -> nn.Module:
    layers = dict(_layers(graph, options))
    samples: dict[str, list[Tensor]] = {name: [] for name in _with_8_bit_inputs(graph, layers, options)}
    for name, features in _inputs(graph, {name: layers[name] for name in samples}, options):
        # Drawn, for even steps would meet the same few channels all along. The seed is the picture's number:
        # layers that read the same tensor get the same scale, and share one quantisation of it.
        chance = torch.Generator().manual_seed(len(samples[name]))
        drawn = torch.randint(features.numel(), (_SAMPLES,), generator=chance)
        samples[name].append(features.flatten()[drawn])
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        scale = input_scale(torch.cat(samples[name])) if name in samples else None
        setattr(graph.get_submodule(parent), child, Int8Layer(layer, scale))
    return graph


def _with_8_bit_inputs(graph: nn.Module, layers: Mapping[str, Layer], options: ExportOptions) -> list[str]:
    """Those of ``layers`` that gain by it; of the others, weights alone are stored in 8 bits.

    MobileNetV2's blocks are a quarter of MobileViT-XXS' multiply-adds, and bring most of the noise: pictures
    unlike those of calibration (all black, noise) leave the ranges in them first. Layers that see one vector,
    after pooling, are no arithmetic at all, and a channel out of range there is lost for the whole picture.
    """
    blocks = [name for name, module in graph.named_modules() if isinstance(module, InvertedResidual)]
    single = {
        name
        for name, features in _inputs(graph, layers, options, most=1)
        if features.numel() == layers[name].weight.shape[1]
    }
    return [name for name in layers if name not in single and not inside(name, blocks)]


def _layers(graph: nn.Module, options: ExportOptions) -> Iterator[tuple[str, Layer]]:
    """Layers that may be quantised.

    No depthwise convolution, which has few weights and much to lose, and not the stem, which takes the
    picture.
    """
    found = [
        (name, layer) for name, layer in graph.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    for name, layer in found[1:]:
        grouped = isinstance(layer, nn.Conv2d) and layer.groups > 1
        if not grouped and not inside(name, options.float_modules):
            yield name, layer


def _inputs(
    graph: nn.Module, layers: Mapping[str, Layer], options: ExportOptions, *, most: int | None = None
) -> Iterator[tuple[str, Tensor]]:
    """What each layer is given, one calibration picture after the other; ``most`` of them, spread evenly."""
    if options.calibration is None:
        raise ExportError(
            f"'{options.precision}' needs calibration pictures, and was given none.",
            remedy="Export with mobilevit_deploy.export, which brings them.",
        )
    given: list[tuple[str, Tensor]] = []
    hooks = [layer.register_forward_pre_hook(_recorder(name, given)) for name, layer in layers.items()]
    pictures = options.calibration.inputs
    for picture in pictures[:: -(-len(pictures) // (most or len(pictures)))]:
        graph(torch.from_numpy(picture))
        yield from given
        given.clear()
    for hook in hooks:
        hook.remove()


def _recorder(name: str, given: list[tuple[str, Tensor]]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    return lambda _, inputs: given.append((name, inputs[0]))


def _columns(layer: Layer, features: Tensor) -> Tensor:
    """The inputs of each output place as columns, and a 1 below them, which a bias multiplies: [i + 1, n]."""
    if isinstance(layer, nn.Conv2d):
        stride, padding, dilation = geometry(layer)
        windows = F.unfold(features, layer.kernel_size, dilation, padding, stride)
        columns = windows.transpose(0, 1).flatten(1)
    else:
        columns = features.flatten(0, -2).T
    return torch.cat([columns, columns.new_ones(1, columns.shape[1])])
