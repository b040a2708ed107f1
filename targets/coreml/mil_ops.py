"""What each operation of Core ML's model intermediate language (MIL) computes, in PyTorch.

Every function takes the operation's inputs by the names that MIL gives them, and returns its result or a
tuple of them. Floating point tensors arrive as float32, whatever the program declares, and are rounded to the
declared type by the interpreter afterwards. Constants that are not floating point (shapes, axes, flags,
modes) arrive as Python values; an optional input that the program leaves out is not passed unless MIL has a
default for it.

Source: the definitions in coremltools, ``converters/mil/mil/ops/defs`` (iOS 15 to 18). To add an operation,
write it here, enter it in ``OPERATIONS``, and compare it with numpy in tests/targets/coreml/test_mil_ops.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Callable[..., Tensor | tuple[Tensor, ...]]


def add(*, x: Tensor, y: Tensor) -> Tensor:
    """Sum, broadcast."""
    return x + y


def cast(*, x: Tensor, dtype: str) -> Tensor:  # noqa: ARG001
    """Nothing: the type that the program declares for the result is ``dtype``."""
    return x


def clip(*, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Values limited to alpha..beta."""
    return torch.minimum(torch.maximum(x, alpha), beta)


def concat(*, values: Sequence[Tensor], axis: int, interleave: bool) -> Tensor:
    """Tensors one after the other along ``axis``, or their slices in turn."""
    if interleave:
        raise NotImplementedError("concat with interleave")
    return torch.cat(list(values), dim=axis)


def constexpr_affine_dequantize(
    *, quantized_data: Tensor, zero_point: Tensor | int, scale: Tensor, axis: int
) -> Tensor:
    """``scale * (quantized_data - zero_point)``; a vector of either holds a value for each slice of axis."""
    shift = _along(torch.as_tensor(zero_point, dtype=torch.float32), quantized_data, axis)
    return _along(scale, quantized_data, axis) * (quantized_data.to(torch.float32) - shift)


def _along(numbers: Tensor, data: Tensor, axis: int | None) -> Tensor:
    """One number, or one for each slice of ``axis``, in a shape that broadcasts with ``data``."""
    lengths = [1] * data.dim()
    if numbers.numel() > 1 and axis is not None:
        lengths[axis] = -1
    return numbers.reshape(lengths)


def constexpr_lut_to_dense(
    *, indices: Tensor, lut: Tensor, shape: Sequence[int] | None = None, vector_axis: int | None = None
) -> Tensor:
    """The palette's entry at each index.

    iOS 16 gives ``shape``, one palette, and indices packed into bytes, the lowest bits first. iOS 18 gives
    indices of the result's shape, and palettes [groups along each axis, entries, 1].
    """
    if vector_axis is not None or (shape is None and lut.shape[-1] != 1):
        raise NotImplementedError("constexpr_lut_to_dense with palettes of vectors")
    if shape is not None:
        return lut[_unpacked(indices, lut.numel().bit_length() - 1, math.prod(shape))].reshape(shape)
    palettes = lut.squeeze(-1)
    for axis, length in enumerate(indices.shape):
        palettes = palettes.repeat_interleave(length // palettes.shape[axis], dim=axis)
    return palettes.gather(-1, indices.long().unsqueeze(-1)).squeeze(-1)


def _unpacked(content: Tensor, bits: int, count: int) -> Tensor:
    """The first ``count`` numbers of ``bits`` bits in a string of bytes, least significant bits first."""
    single = (content.to(torch.int64)[:, None] >> torch.arange(8)) & 1
    numbers = single.reshape(-1)[: count * bits].reshape(count, bits)
    return (numbers << torch.arange(bits)).sum(dim=1)


def conv(
    *,
    x: Tensor,
    weight: Tensor,
    strides: Sequence[int],
    pad_type: str,
    pad: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    bias: Tensor | None = None,
) -> Tensor:
    """Cross-correlation of [n, c_in, h, w] with [c_out, c_in/groups, kh, kw], padded with zeros.

    ``pad`` is top, bottom, left, right, and holds for the pad_type ``custom`` only.
    """
    if pad_type not in {"valid", "custom"}:
        raise NotImplementedError(f"conv with pad_type '{pad_type}'")
    if pad_type == "custom":
        top, bottom, left, right = pad
        x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, bias, stride=tuple(strides), dilation=tuple(dilations), groups=groups)


def dequantize(
    *,
    input: Tensor,  # noqa: A002
    scale: Tensor,
    zero_point: Tensor | int = 0,
    axis: int | None = None,
) -> Tensor:
    """``scale * (input - zero_point)``; a vector of either holds a value for each slice of axis."""
    shift = _along(torch.as_tensor(zero_point, dtype=torch.float32), input, axis)
    return _along(scale, input, axis) * (input.to(torch.float32) - shift)


def einsum(*, values: Sequence[Tensor], equation: str) -> Tensor:
    """Of [n, c, h, w] and [n, w, h, u], products summed over w: [n, c, h, u]. MIL has no other of rank 4."""
    letters = "".join(dict.fromkeys(filter(str.isalpha, equation)))
    if len(letters) != 5 or equation.translate(str.maketrans(letters, "nchwu")) != "nchw,nwhu->nchu":
        raise NotImplementedError(f"einsum with the equation '{equation}'")
    return torch.einsum(equation, *values)


def gelu(*, x: Tensor, mode: str) -> Tensor:
    """``x * Phi(x)`` with the normal distribution's Phi."""
    if mode != "EXACT":
        raise NotImplementedError(f"gelu with mode '{mode}'")
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def layer_norm(
    *,
    x: Tensor,
    axes: Sequence[int],
    epsilon: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
) -> Tensor:
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` over ``axes``; gamma is x.shape[axes]."""
    normalized = {axis % x.dim() for axis in axes}
    broadcast = [length if axis in normalized else 1 for axis, length in enumerate(x.shape)]
    centred = x - x.mean(tuple(normalized), keepdim=True)
    variance = centred.square().mean(tuple(normalized), keepdim=True)
    result = centred / torch.sqrt(variance + epsilon)
    if gamma is not None:
        result = result * gamma.reshape(broadcast)
    if beta is not None:
        result = result + beta.reshape(broadcast)
    return result


def linear(*, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x @ weight.T + bias``."""
    return F.linear(x, weight, bias)


def matmul(*, x: Tensor, y: Tensor, transpose_x: bool, transpose_y: bool) -> Tensor:
    """Matrix product over the last two axes, the others broadcast."""
    x = x.transpose(-1, -2) if transpose_x else x
    y = y.transpose(-1, -2) if transpose_y else y
    return x @ y


def mul(*, x: Tensor, y: Tensor) -> Tensor:
    """Product, broadcast."""
    return x * y


def pixel_shuffle(*, x: Tensor, upscale_factor: int) -> Tensor:
    """[n, c*f*f, h, w] -> [n, c, h*f, w*f]: of f*f channels in a row, f go below and f beside each other."""
    return F.pixel_shuffle(x, upscale_factor)


def pixel_unshuffle(*, x: Tensor, downscale_factor: int) -> Tensor:
    """Inverse of ``pixel_shuffle``."""
    return F.pixel_unshuffle(x, downscale_factor)


def quantize(
    *,
    input: Tensor,  # noqa: A002
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | int = 0,
    axis: int | None = None,
) -> Tensor:
    """``round(input / scale) + zero_point`` limited to what ``output_dtype`` holds; halves go to even."""
    limits = torch.iinfo(getattr(torch, output_dtype))
    shift = _along(torch.as_tensor(zero_point, dtype=torch.float32), input, axis)
    return ((input / _along(scale, input, axis)).round() + shift).clamp(limits.min, limits.max)


def reduce_argmax(*, x: Tensor, axis: int, keep_dims: bool) -> Tensor:
    """Index of the largest value along ``axis``, int32. MIL leaves ties open; here the lowest index wins."""
    return x.argmax(dim=axis, keepdim=keep_dims).to(torch.int32)


def reduce_mean(*, x: Tensor, keep_dims: bool, axes: Sequence[int] | None = None) -> Tensor:
    """Mean over ``axes``, over all of them unless given."""
    return x.mean(tuple(range(x.dim()) if axes is None else axes), keepdim=keep_dims)


def relu(*, x: Tensor) -> Tensor:
    """``max(x, 0)``."""
    return x.clamp(min=0)


def reshape(*, x: Tensor, shape: Sequence[int]) -> Tensor:
    """The same elements in another shape; -1 is what is left over, 0 the length that the axis had."""
    return x.reshape([x.shape[axis] if length == 0 else length for axis, length in enumerate(shape)])


def sigmoid_hard(*, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """``alpha * x + beta`` limited to 0..1."""
    return (alpha * x + beta).clamp(0, 1)


def silu(*, x: Tensor) -> Tensor:
    """``x * sigmoid(x)``."""
    return x * torch.sigmoid(x)


def softmax(*, x: Tensor, axis: int) -> Tensor:
    """``exp(x)`` over its sum along ``axis``."""
    return x.softmax(dim=axis)


def split(
    *, x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Parts of x along ``axis``: of the lengths given, or ``num_splits`` of the same."""
    if split_sizes is None and num_splits is None:
        raise NotImplementedError("split without num_splits and split_sizes")
    lengths = split_sizes or [x.shape[axis] // (num_splits or 1)] * (num_splits or 1)
    return torch.split(x, list(lengths), dim=axis)


def thresholded_relu(*, x: Tensor, alpha: Tensor) -> Tensor:
    """``x`` where it is at least alpha, 0 elsewhere."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


def transpose(*, x: Tensor, perm: Sequence[int]) -> Tensor:
    """Axis ``i`` of the result is axis ``perm[i]`` of x."""
    return x.permute(tuple(perm))


def upsample_bilinear(
    *,
    x: Tensor,
    scale_factor_height: Tensor | int,
    scale_factor_width: Tensor | int,
    align_corners: bool,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """Bilinear interpolation of the last two axes to ``floor(length * scale_factor)``.

    Where to sample follows from the two lengths; the factor itself is not used again.
    """
    half_pixel = not align_corners if half_pixel_centers is None else half_pixel_centers
    for axis, factor in ((-2, scale_factor_height), (-1, scale_factor_width)):
        length = x.shape[axis]
        points = _grid(length, math.floor(float(factor) * length), align_corners, half_pixel)
        x = _interpolate(x, axis, points)
    return x


def _grid(length: int, wanted: int, align_corners: bool, half_pixel: bool) -> Tensor:
    """Where in 0..length-1 each of ``wanted`` samples lies, in float64."""
    steps = torch.arange(wanted, dtype=torch.float64)
    if align_corners and half_pixel:
        raise NotImplementedError("upsample_bilinear with align_corners and half_pixel_centers")
    if align_corners:
        points = steps * ((length - 1) / max(wanted - 1, 1))
    else:
        spacing = length / wanted
        points = steps * spacing + (0.5 * spacing - 0.5 if half_pixel else 0.0)
    return points.clamp(0, length - 1)


def _interpolate(x: Tensor, axis: int, points: Tensor) -> Tensor:
    """Values of x between its cells along ``axis``, -1 or -2."""
    below = points.floor().long()
    above = (below + 1).clamp(max=x.shape[axis] - 1)
    share = (points - below).to(x.dtype)
    share = share if axis == -1 else share[:, None]
    return x.index_select(axis, below) * (1 - share) + x.index_select(axis, above) * share


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        operation.__name__: operation
        for operation in (
            add,
            cast,
            clip,
            concat,
            constexpr_affine_dequantize,
            constexpr_lut_to_dense,
            conv,
            dequantize,
            einsum,
            gelu,
            layer_norm,
            linear,
            matmul,
            mul,
            pixel_shuffle,
            pixel_unshuffle,
            quantize,
            reduce_argmax,
            reduce_mean,
            relu,
            reshape,
            sigmoid_hard,
            silu,
            softmax,
            split,
            thresholded_relu,
            transpose,
            upsample_bilinear,
        )
    }
)
