"""Rewrites: what makes a graph fast in a runtime, kept out of the reference.

A rewrite is a function that changes a graph in place and leaves what it computes as it was, up to rounding.
Each works on its own, in any order with the others, and does nothing where it finds nothing to do. A target
names the ones that help it. To add one, write the function and list it in ``REWRITES``:
``tests/model/test_rewrite.py`` compares everything there with the reference. What takes the place of the
reference's modules is in ``rewritten.py`` and ``rewritten_map.py``.

Shape letters: b sequences, n tokens of each, d hidden size, k heads, e = d/k size of a head.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mobilevit_deploy.model.deeplabv3 import Aspp
from mobilevit_deploy.model.layers import ConvLayer, SelfAttention, Stack, TransformerLayer
from mobilevit_deploy.model.mobilevit import MobileViTBlock, MobileViTModel
from mobilevit_deploy.model.rewritten import (
    BmmAttention,
    CentredAttention,
    LinearLayerNorm,
    MatrixAttention,
    MatrixTransformer,
    PooledBranchAspp,
    PoolingBackbone,
    RankFourBlock,
    SiluProduct,
    UnscaledAttention,
)
from mobilevit_deploy.model.rewritten_map import (
    ChannelNorm,
    MapAttention,
    MapBlock,
    MapTransformer,
    PointwiseLinear,
    RowAttention,
    RowBlock,
)

Rewrite = Callable[[nn.Module], None]

_ATTENTION = (UnscaledAttention, BmmAttention, MatrixAttention, CentredAttention)
_NORMS = (nn.LayerNorm, LinearLayerNorm, ChannelNorm)
"""Of sequences, whichever rewrite made them."""


def rewrite(graph: nn.Module, names: Sequence[str]) -> None:
    """Change a graph in place.

    Args:
        graph: in evaluation mode.
        names: from ``REWRITES``, applied in this order.

    Raises:
        ValueError: there is no rewrite of such a name; the graph is as it was.
    """
    steps = [_known(name) for name in names]
    with torch.no_grad():
        for step in steps:
            step(graph)


def fold_batch_norm(graph: nn.Module) -> None:
    """Multiply each BatchNorm into the convolution before it."""
    for layer in graph.modules():
        if isinstance(layer, ConvLayer) and layer.normalization is not None:
            layer.convolution = fuse_conv_bn_eval(layer.convolution, layer.normalization)
            layer.normalization = None


def remove_dropout(graph: nn.Module) -> None:
    """Take out dropout, which does nothing in evaluation and still leaves a copy in exported graphs."""
    for kind in (nn.Dropout, nn.Dropout2d):
        _replace(graph, kind, lambda _: nn.Identity())


def fold_query_scale(graph: nn.Module) -> None:
    """Multiply attention's 1/sqrt(e) into the query projection: one operation less on k*n*n scores."""
    _replace(graph, SelfAttention, UnscaledAttention)


def attention_bmm(graph: nn.Module) -> None:
    """Write attention's products as 3-D ``bmm``, heads joined with the batch; folds the query scale too.

    ``matmul`` of 4-D tensors is exported with an ``expand`` of both operands, which XNNPACK does not take.
    """
    fold_query_scale(graph)
    _replace(graph, UnscaledAttention, BmmAttention)


def tokens_as_matrix(graph: nn.Module) -> None:
    """Keep the tokens of all sequences in one matrix, [b*n, d], and part them for attention alone.

    For graphs of one picture. ONNX Runtime then adds each bias within its matrix product: a tenth of its
    time. Folds the query scale too, and writes attention's products in four dimensions.
    """
    fold_query_scale(graph)
    for block in graph.modules():
        if isinstance(block, MobileViTBlock):
            split = functools.partial(MatrixAttention, sequences=block.patch_size**2)
            _replace(block, UnscaledAttention, split)
            _replace(block, BmmAttention, split)
            _replace(block, Stack, MatrixTransformer)


def centre_values(graph: nn.Module) -> None:
    """Take the mean over all tokens out of attention's values, and add it to its result.

    For graphs that compute in 8 bits, whose rounded probabilities do not add up to one. Keeps tokens in one
    matrix too.
    """
    tokens_as_matrix(graph)
    _replace(graph, MatrixAttention, CentredAttention)


def fold_layer_norm_affine(graph: nn.Module) -> None:
    """Multiply each LayerNorm's scale and shift into the layers that read it.

    A LayerNorm that another rewrite has already replaced keeps its own.
    """
    for module in graph.modules():
        if isinstance(module, TransformerLayer):
            attention = module.attention.attention
            _fold_affine(module.layernorm_before, attention.query, attention.key, attention.value)
            _fold_affine(module.layernorm_after, module.intermediate.dense)
        elif isinstance(module, MobileViTBlock):
            # A bilinear resize may lie between the two. Its weights sum to one, so a shift passes through.
            _fold_affine(module.layernorm, module.conv_projection.convolution)


def layer_norm_as_linear(graph: nn.Module) -> None:
    """Write LayerNorm with linear layers for its means, for runtimes that have no LayerNorm."""
    _replace(graph, nn.LayerNorm, LinearLayerNorm)


def silu_as_product(graph: nn.Module) -> None:
    """Write SiLU as x * sigmoid(x), for quantisers and delegates that know only these two.

    PyTorch takes a SiLU in float16 apart on its own, and computes it in float32 between two casts.
    """
    _replace(graph, nn.SiLU, lambda _: SiluProduct())


def pool_keeping_dims(graph: nn.Module) -> None:
    """Keep the pooled map four-dimensional until it is flattened: XNNPACK takes no other mean."""
    _replace(
        graph,
        MobileViTModel,
        lambda backbone: PoolingBackbone(backbone) if backbone.expand_output else backbone,
    )


def patches_in_four_dimensions(graph: nn.Module) -> None:
    """Cut a map into patches with four axes at most: some runtimes know no more, and all are faster.

    For graphs of one picture. Cells come in another order than in the reference, which attention does not
    see: it treats sequences, and the tokens of each, all alike.
    """
    _replace(graph, MobileViTBlock, RankFourBlock)


def tokens_as_map(graph: nn.Module) -> None:
    """Keep tokens as a feature map [1, d, p*p, n], and write their linear layers as 1x1 convolutions.

    The layout of Apple's Neural Engine (machinelearning.apple.com/research/neural-engine-transformers):
    channels first, a long last axis, no reshape or transposition but one of the keys, and of pixels into
    patches. Folds the query scale too, and takes the place of the other layouts.
    """
    fold_query_scale(graph)
    _replace(graph, (MobileViTBlock, RankFourBlock, RowBlock), MapBlock)
    for block in graph.modules():
        if type(block) is MapBlock:
            _replace(block, (*_ATTENTION, RowAttention), MapAttention)
            _replace(block, (Stack, MatrixTransformer), MapTransformer)
            _replace(block, _NORMS, functools.partial(ChannelNorm, axis=1))
            _replace(block, nn.Linear, PointwiseLinear)


def tokens_as_rows(graph: nn.Module) -> None:
    """Keep tokens as [1, p*p, n, d], one head after the other: the first axis is 1 all through a transformer.

    For GPU delegates, some of which take no other batch. Folds the query scale too, and leaves graphs alone
    whose tokens are a map already.
    """
    fold_query_scale(graph)
    _replace(graph, (MobileViTBlock, RankFourBlock), RowBlock)
    for block in graph.modules():
        if type(block) is RowBlock:
            _replace(block, _ATTENTION, RowAttention)
            _replace(block, _NORMS, functools.partial(ChannelNorm, axis=-1))
            _replace(block, (Stack, MatrixTransformer), MapTransformer)


def add_pooled_branch(graph: nn.Module) -> None:
    """Add DeepLabV3's mean of the map after the projection, instead of enlarging it to a map before.

    The projection is linear, and where a branch is the same at every place, so is its share of the result.
    Folds the projection's BatchNorm too.
    """
    for module in graph.modules():
        if isinstance(module, Aspp):
            fold_batch_norm(module)
    _replace(graph, Aspp, PooledBranchAspp)


REWRITES: Mapping[str, Rewrite] = MappingProxyType(
    {
        step.__name__: step
        for step in (
            fold_batch_norm,
            remove_dropout,
            fold_query_scale,
            attention_bmm,
            tokens_as_matrix,
            centre_values,
            fold_layer_norm_affine,
            layer_norm_as_linear,
            silu_as_product,
            pool_keeping_dims,
            patches_in_four_dimensions,
            tokens_as_map,
            tokens_as_rows,
            add_pooled_branch,
        )
    }
)


def _known(name: str) -> Rewrite:
    if name not in REWRITES:
        near = difflib.get_close_matches(name, REWRITES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"There is no rewrite {name!r}. {hint}Known: {', '.join(REWRITES)}.")
    return REWRITES[name]


def _replace(
    root: nn.Module,
    kind: type[nn.Module] | tuple[type[nn.Module], ...],
    make: Callable[..., nn.Module],
) -> None:
    """Put ``make(module)`` in the place of every module of exactly these classes below ``root``."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    for parent in list(root.modules()):
        for name, child in parent.named_children():
            if type(child) in kinds:
                setattr(parent, name, make(child))


def _fold_affine(norm: nn.Module, *readers: nn.Linear | nn.Conv2d) -> None:
    """W(g*x + s) + b = (W*g)x + (Ws + b), in float64; a 1x1 convolution is a linear layer of each cell."""
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None:
        return
    for reader in readers:
        weight = reader.weight.double().flatten(1)  # [out, in]
        shift = weight @ norm.bias.double()
        bias = shift if reader.bias is None else shift + reader.bias
        reader.weight.copy_((weight * norm.weight).view_as(reader.weight))
        reader.bias = nn.Parameter(bias.to(reader.weight.dtype), requires_grad=False)
    norm.register_parameter("weight", None)
    norm.register_parameter("bias", None)
