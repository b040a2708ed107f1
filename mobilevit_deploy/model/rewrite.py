"""Rewrites: what makes a graph fast in a runtime, kept out of the reference.

A rewrite is a function that changes a graph in place and leaves what it computes as it was, up to rounding.
Each works on its own, in any order with the others, and does nothing where it finds nothing to do. A target
names the ones that help it. To add one, write the function and list it in ``REWRITES``:
``tests/model/test_rewrite.py`` compares everything there with the reference.

Shape letters: b sequences, n tokens of each, d hidden size, k heads, e = d/k size of a head.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mobilevit_deploy.model.deeplabv3 import Aspp
from mobilevit_deploy.model.layers import ConvLayer, SelfAttention, TransformerLayer
from mobilevit_deploy.model.mobilevit import MobileViTBlock, MobileViTModel
from mobilevit_deploy.model.outputs import BackboneOutput

Rewrite = Callable[[nn.Module], None]


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
    _replace(graph, nn.Dropout, lambda _: nn.Identity())


def fold_query_scale(graph: nn.Module) -> None:
    """Multiply attention's 1/sqrt(e) into the query projection: one operation less on k*n*n scores."""
    _replace(graph, SelfAttention, UnscaledAttention)


def attention_bmm(graph: nn.Module) -> None:
    """Write attention's products as 3-D ``bmm``, heads joined with the batch; folds the query scale too.

    ``matmul`` of 4-D tensors is exported with an ``expand`` of both operands, which XNNPACK does not take.
    """
    fold_query_scale(graph)
    _replace(graph, UnscaledAttention, BmmAttention)


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


def add_pooled_branch(graph: nn.Module) -> None:
    """Add DeepLabV3's mean of the map after the projection, instead of enlarging it to a map before.

    The projection is linear, and where a branch is the same at every place, so is its share of the result.
    Folds the projection's BatchNorm too.
    """
    _replace(graph, Aspp, PooledBranchAspp)


REWRITES: Mapping[str, Rewrite] = MappingProxyType(
    {
        rewrite.__name__: rewrite
        for rewrite in (
            fold_batch_norm,
            remove_dropout,
            fold_query_scale,
            attention_bmm,
            fold_layer_norm_affine,
            layer_norm_as_linear,
            pool_keeping_dims,
            patches_in_four_dimensions,
            add_pooled_branch,
        )
    }
)


class UnscaledAttention(nn.Module):
    """Self-attention whose query projection holds the scale of the scores."""

    def __init__(self, attention: SelfAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        for parameter in self.query.parameters():
            parameter.mul_(self.head_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        query, key, value = (self._heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        mixed = (query @ key.transpose(-1, -2)).softmax(dim=-1) @ value  # [b, k, n, e]
        return mixed.transpose(1, 2).flatten(2)  # [b, n, d]

    def _heads(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        return tokens.reshape(b, n, self.num_heads, self.head_size).transpose(1, 2)  # [b, k, n, e]


class BmmAttention(nn.Module):
    """Unscaled self-attention in three dimensions."""

    def __init__(self, attention: UnscaledAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.head_size = attention.head_size
        self.query, self.key, self.value = attention.query, attention.key, attention.value

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        b, n, d = tokens.shape
        query, key, value = (self._split(layer(tokens)) for layer in (self.query, self.key, self.value))
        query = query.transpose(1, 2).flatten(0, 1)  # [b*k, n, e]
        key = key.permute(0, 2, 3, 1).flatten(0, 1)  # [b*k, e, n], as bmm wants it: no second transposition
        value = value.transpose(1, 2).flatten(0, 1)  # [b*k, n, e]
        mixed = torch.bmm(torch.bmm(query, key).softmax(dim=-1), value)  # [b*k, n, e]
        return mixed.reshape(b, self.num_heads, n, self.head_size).transpose(1, 2).reshape(b, n, d)

    def _split(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        return tokens.reshape(b, n, self.num_heads, self.head_size)  # [b, n, k, e]


class LinearLayerNorm(nn.Module):
    """LayerNorm over the last axis, its two means taken by linear layers with one output.

    A linear layer that centres in one step (weights I - 1/d) saves the subtraction and costs d times the
    arithmetic: MobileViT-S runs 9 % slower with it.
    """

    mean: Tensor
    eps: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (size,) = norm.normalized_shape
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("mean", torch.full((1, size), 1 / size))
        self.register_buffer("eps", torch.full((1,), norm.eps))

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        centred = tokens - F.linear(tokens, self.mean)
        variance = F.linear(centred * centred, self.mean, self.eps)  # [..., 1], epsilon included
        normal = centred * variance.rsqrt()
        return normal if self.weight is None else normal * self.weight + self.bias


class PoolingBackbone(nn.Module):
    """The backbone, pooled in two steps."""

    def __init__(self, backbone: MobileViTModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixel_values: Tensor, output_hidden_states: bool | None = None) -> BackboneOutput:
        """As ``MobileViTModel``."""
        output: BackboneOutput = self.backbone(pixel_values, output_hidden_states=output_hidden_states)
        pooled = output.last_hidden_state.mean(dim=(-2, -1), keepdim=True)  # [b, c, 1, 1]
        return dataclasses.replace(output, pooler_output=pooled.flatten(1))


class RankFourBlock(MobileViTBlock):
    """A MobileViT block for one picture, which holds no tensor of more than four axes."""

    def __init__(self, block: MobileViTBlock) -> None:
        nn.Module.__init__(self)
        self.patch_size = block.patch_size
        for name, layer in block.named_children():
            self.add_module(name, layer)

    def unfold(self, features: Tensor) -> Tensor:
        """[1, d, h, w] -> sequences [p*p, n, d], the tokens of each column by column.

        The places within a patch lead, column first: that keeps their row (p) next to the patch's column
        (w/p), and the two move as one axis. A cell's d numbers stay together, so that whole runs are copied.
        """
        _, d, h, w = features.shape
        p = self.patch_size
        cells = features.permute(0, 2, 3, 1).reshape(h // p, p * (w // p), p, d)
        return cells.permute(2, 1, 0, 3).reshape(p * p, h // p * (w // p), d)

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Inverse of ``unfold``."""
        p = self.patch_size
        cells = tokens.reshape(p, p * (width // p), height // p, -1)
        return cells.permute(2, 1, 0, 3).reshape(1, height, width, -1).permute(0, 3, 1, 2)


class PooledBranchAspp(nn.Module):
    """Atrous spatial pyramid pooling whose mean is projected on its own."""

    def __init__(self, aspp: Aspp) -> None:
        super().__init__()
        fold_batch_norm(aspp)
        self.convs = aspp.convs[:-1]
        self.pooling = aspp.convs[-1].get_submodule("conv_1x1")
        self.project, self.project_mean = _split_input(aspp.project.convolution, parts=len(aspp.convs))

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, a, h, w]."""
        maps = self.project(torch.cat([conv(features) for conv in self.convs], dim=1))  # [b, a, h, w]
        mean = self.project_mean(self.pooling(features.mean(dim=(-2, -1), keepdim=True)))  # [b, a, 1, 1]
        return F.relu(maps + mean)


def _known(name: str) -> Rewrite:
    if name not in REWRITES:
        near = difflib.get_close_matches(name, REWRITES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"There is no rewrite {name!r}. {hint}Known: {', '.join(REWRITES)}.")
    return REWRITES[name]


def _replace(root: nn.Module, kind: type[nn.Module], make: Callable[..., nn.Module]) -> None:
    """Put ``make(module)`` in the place of every module of class ``kind`` below ``root``."""
    for parent in list(root.modules()):
        for name, child in parent.named_children():
            if type(child) is kind:
                setattr(parent, name, make(child))


def _split_input(whole: nn.Conv2d, *, parts: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Two 1x1 convolutions that add up to one: of all of its input's parts but the last, and of the last."""
    last = whole.in_channels // parts
    first = nn.Conv2d(whole.in_channels - last, whole.out_channels, 1, bias=False)
    first.weight, first.bias = nn.Parameter(whole.weight[:, :-last]), whole.bias
    second = nn.Conv2d(last, whole.out_channels, 1, bias=False)
    second.weight = nn.Parameter(whole.weight[:, -last:])
    return first.requires_grad_(False), second.requires_grad_(False)


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
