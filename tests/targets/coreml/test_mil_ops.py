"""Each MIL operation against its definition, written out in numpy and float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mobilevit_deploy.targets.coreml.mil_ops import OPERATIONS
from numpy.typing import NDArray

Array = NDArray[np.float64]


def values(*shape: int, seed: int = 0) -> Array:
    """Normal numbers that float32 can hold."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(np.float64)


def computed(kind: str, **arguments: Any) -> Array:
    """The operation's result; arrays go in as the interpreter passes them, as float32 tensors."""

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.floating):
            return torch.tensor(np.asarray(value, np.float32))
        return (
            [tensor(item) for item in value]
            if kind in {"concat", "einsum"} and isinstance(value, list)
            else value
        )

    result = OPERATIONS[kind](**{name: tensor(value) for name, value in arguments.items()})
    assert result.dtype == torch.float32
    return np.asarray(result.double())


def check(kind: str, expected: Array, **arguments: Any) -> None:
    result = computed(kind, **arguments)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6)


TESTED = {
    "add",
    "cast",
    "clip",
    "concat",
    "constexpr_affine_dequantize",
    "constexpr_lut_to_dense",
    "conv",
    "dequantize",
    "einsum",
    "gelu",
    "layer_norm",
    "linear",
    "matmul",
    "mul",
    "pixel_shuffle",
    "pixel_unshuffle",
    "quantize",
    "reduce_argmax",
    "reduce_mean",
    "relu",
    "reshape",
    "sigmoid_hard",
    "silu",
    "softmax",
    "split",
    "thresholded_relu",
    "transpose",
    "upsample_bilinear",
}


def test_every_operation_is_tested_here() -> None:
    assert set(OPERATIONS) == TESTED


class TestElementwise:
    x, y = values(2, 3, 4), values(3, 1, seed=1)

    def test_add(self) -> None:
        check("add", self.x + self.y, x=self.x, y=self.y)

    def test_add_of_a_scalar(self) -> None:
        check("add", self.x + 0.5, x=self.x, y=np.float32(0.5))

    def test_mul(self) -> None:
        check("mul", self.x * self.y, x=self.x, y=self.y)

    @pytest.mark.parametrize("dtype", ["fp16", "fp32"])
    def test_cast_leaves_rounding_to_the_declared_type(self, dtype: str) -> None:
        check("cast", self.x, x=self.x, dtype=dtype)

    def test_clip(self) -> None:
        check("clip", np.clip(self.x, -0.5, 0.75), x=self.x, alpha=np.float32(-0.5), beta=np.float32(0.75))

    def test_relu(self) -> None:
        check("relu", np.where(self.x > 0, self.x, 0), x=self.x)

    def test_silu(self) -> None:
        check("silu", self.x / (1 + np.exp(-self.x)), x=self.x)

    def test_silu_far_out(self) -> None:
        check("silu", np.array([-0.0, 0.0, 1000.0]), x=np.array([-1000.0, 0.0, 1000.0]))

    def test_gelu(self) -> None:
        normal = np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)))
        check("gelu", self.x * normal(self.x), x=self.x, mode="EXACT")

    def test_gelu_approximation_is_not_taken_for_the_exact_one(self) -> None:
        with pytest.raises(NotImplementedError, match="TANH_APPROXIMATION"):
            computed("gelu", x=self.x, mode="TANH_APPROXIMATION")

    def test_sigmoid_hard(self) -> None:
        x = 4 * self.x
        expected = np.minimum(np.maximum(0.2 * x + 0.5, 0), 1)
        check("sigmoid_hard", expected, x=x, alpha=np.float32(0.2), beta=np.float32(0.5))

    def test_thresholded_relu_keeps_the_threshold_itself(self) -> None:
        x = np.array([-4.0, -3.0, -2.0, 0.0, 5.0])
        expected = np.array([0.0, -3.0, -2.0, 0.0, 5.0])
        check("thresholded_relu", expected, x=x, alpha=np.float32(-3))


class TestShape:
    x = values(2, 3, 4)

    def test_reshape(self) -> None:
        check("reshape", self.x.reshape(6, 4), x=self.x, shape=[6, 4])

    def test_reshape_with_what_is_left_over(self) -> None:
        check("reshape", self.x.reshape(8, 3), x=self.x, shape=[-1, 3])

    def test_reshape_with_a_length_inherited(self) -> None:
        check("reshape", self.x.reshape(2, 12, 1), x=self.x, shape=[0, -1, 1])

    def test_pixel_shuffle(self) -> None:
        x = values(1, 12, 3, 5)
        cells = x.reshape(3, 2, 2, 3, 5)  # [c, below, beside, h, w]
        expected = np.einsum("cijhw->chiwj", cells).reshape(1, 3, 6, 10)
        check("pixel_shuffle", expected, x=x, upscale_factor=2)

    def test_pixel_unshuffle(self) -> None:
        x = values(1, 3, 6, 10)
        cells = x.reshape(3, 3, 2, 5, 2)  # [c, h, below, w, beside]
        expected = np.einsum("chiwj->cijhw", cells).reshape(1, 12, 3, 5)
        check("pixel_unshuffle", expected, x=x, downscale_factor=2)

    @pytest.mark.parametrize(
        ("sizes", "ends"), [({"num_splits": 2}, [0, 2, 4]), ({"split_sizes": [1, 3]}, [0, 1, 4])], ids=str
    )
    def test_split(self, sizes: dict[str, Any], ends: list[int]) -> None:
        parts = OPERATIONS["split"](x=torch.tensor(self.x), axis=-1, **sizes)
        expected = [self.x[..., start:end] for start, end in itertools.pairwise(ends)]
        assert all(np.array_equal(*pair) for pair in zip(parts, expected, strict=True))

    def test_transpose(self) -> None:
        check("transpose", np.einsum("abc->cab", self.x), x=self.x, perm=[2, 0, 1])

    def test_transpose_counts_from_the_end_too(self) -> None:
        check("transpose", np.einsum("abc->acb", self.x), x=self.x, perm=[0, -1, -2])

    @pytest.mark.parametrize("axis", [1, -2])
    def test_concat(self, axis: int) -> None:
        y = values(2, 5, 4, seed=1)
        expected = np.empty((2, 8, 4))
        expected[:, :3], expected[:, 3:] = self.x, y
        check("concat", expected, values=[self.x, y], axis=axis, interleave=False)

    def test_concat_interleaved_is_not_taken_for_the_plain_one(self) -> None:
        with pytest.raises(NotImplementedError, match="interleave"):
            computed("concat", values=[self.x, self.x], axis=0, interleave=True)


class TestMatrices:
    def test_linear(self) -> None:
        x, weight, bias = values(2, 3, 4), values(5, 4, seed=1), values(5, seed=2)
        expected = np.einsum("bni,oi->bno", x, weight) + bias
        check("linear", expected, x=x, weight=weight, bias=bias)

    @pytest.mark.parametrize("equation", ["nchw,nwhu->nchu", "bkse,besq->bksq"])
    def test_einsum_by_any_letters(self, equation: str) -> None:
        x, y = values(1, 3, 2, 4), values(1, 4, 2, 5, seed=1)
        expected = np.stack([x[0, :, h] @ y[0, :, h] for h in range(2)], axis=1)[None]
        check("einsum", expected, values=[x, y], equation=equation)

    @pytest.mark.parametrize("equation", ["nchw,nwhu->nhcu", "nchw,nuhw->nchu", "chw,whr->chr"])
    def test_other_einsums_are_refused(self, equation: str) -> None:
        with pytest.raises(NotImplementedError, match=equation):
            computed("einsum", values=[values(1, 3, 2, 4), values(1, 4, 2, 5)], equation=equation)

    @pytest.mark.parametrize("transpose_x", [False, True])
    @pytest.mark.parametrize("transpose_y", [False, True])
    def test_matmul(self, transpose_x: bool, transpose_y: bool) -> None:
        x, y = values(2, 1, 3, 4), values(5, 4, 6, seed=1)
        expected = np.einsum("aunk,bkm->abnm", x, y)
        check(
            "matmul",
            expected,
            x=np.swapaxes(x, -1, -2) if transpose_x else x,
            y=np.swapaxes(y, -1, -2) if transpose_y else y,
            transpose_x=transpose_x,
            transpose_y=transpose_y,
        )


class TestReductions:
    x = values(2, 3, 4, 5)

    @pytest.mark.parametrize("keep_dims", [False, True])
    def test_mean_over_axes(self, keep_dims: bool) -> None:
        expected = self.x.sum((2, 3), keepdims=keep_dims) / 20
        check("reduce_mean", expected, x=self.x, axes=[-2, -1], keep_dims=keep_dims)

    def test_mean_over_everything_unless_told(self) -> None:
        check("reduce_mean", np.array(self.x.sum() / 120), x=self.x, keep_dims=False)

    @pytest.mark.parametrize("axis", [1, -1])
    @pytest.mark.parametrize("keep_dims", [False, True])
    def test_argmax(self, axis: int, keep_dims: bool) -> None:
        result = OPERATIONS["reduce_argmax"](x=torch.tensor(self.x), axis=axis, keep_dims=keep_dims)
        assert result.dtype == torch.int32
        assert np.array_equal(result.numpy(), self.x.argmax(axis, keepdims=keep_dims))

    def test_argmax_of_a_tie_is_the_lowest(self) -> None:
        x = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
        assert OPERATIONS["reduce_argmax"](x=x, axis=-1, keep_dims=False).tolist() == [1, 0]

    @pytest.mark.parametrize("axis", [1, -1])
    def test_softmax(self, axis: int) -> None:
        exponentials = np.exp(self.x)
        check("softmax", exponentials / exponentials.sum(axis, keepdims=True), x=self.x, axis=axis)

    def test_softmax_of_large_scores(self) -> None:
        check("softmax", np.array([0.5, 0.5, 0.0]), x=np.array([1e4, 1e4, -1e4]), axis=-1)

    @pytest.mark.parametrize("axes", [[-1], [2, 3], [1, 3], [0, 1, 2, 3]])
    def test_layer_norm(self, axes: list[int]) -> None:
        normalized = sorted(axis % 4 for axis in axes)
        shape = [self.x.shape[axis] for axis in normalized]
        gamma, beta = values(*shape, seed=1), values(*shape, seed=2)
        kept = [length if axis in normalized else 1 for axis, length in enumerate(self.x.shape)]
        mean = self.x.mean(tuple(normalized), keepdims=True)
        deviation = np.sqrt(((self.x - mean) ** 2).mean(tuple(normalized), keepdims=True) + 0.125)
        expected = gamma.reshape(kept) * (self.x - mean) / deviation + beta.reshape(kept)
        check("layer_norm", expected, x=self.x, axes=axes, epsilon=np.float32(0.125), gamma=gamma, beta=beta)

    def test_layer_norm_without_scale_and_shift(self) -> None:
        x = np.array([[1.0, 3.0], [-4.0, 4.0]])
        expected = np.array([[-1.0, 1.0], [-1.0, 1.0]])
        check("layer_norm", expected, x=x, axes=[1], epsilon=np.float32(1e-7))


class TestConv:
    @staticmethod
    def expected(
        x: Array, weight: Array, strides: list[int], pad: list[int], dilations: list[int], groups: int
    ) -> Array:
        """The sum that the operation is defined by, one output value after the other."""
        x = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[1]), (pad[2], pad[3])))
        c_out, c_in, kh, kw = weight.shape
        reach = [(kh - 1) * dilations[0] + 1, (kw - 1) * dilations[1] + 1]
        h, w = ((x.shape[2 + i] - reach[i]) // strides[i] + 1 for i in range(2))
        result = np.zeros((x.shape[0], c_out, h, w))
        for n, o, i, j in np.ndindex(result.shape):
            first = o // (c_out // groups) * c_in
            top, left = i * strides[0], j * strides[1]
            window = x[n, first : first + c_in, top : top + reach[0], left : left + reach[1]]
            result[n, o, i, j] = (window[:, :: dilations[0], :: dilations[1]] * weight[o]).sum()
        return result

    @pytest.mark.parametrize("strides", [[1, 1], [2, 1]])
    @pytest.mark.parametrize("pad", [[1, 1, 1, 1], [2, 0, 1, 3]])
    @pytest.mark.parametrize("dilations", [[1, 1], [2, 3]])
    @pytest.mark.parametrize("groups", [1, 2, 4])
    def test_custom_padding(
        self, strides: list[int], pad: list[int], dilations: list[int], groups: int
    ) -> None:
        x, weight, bias = values(2, 4, 7, 9), values(8, 4 // groups, 3, 2, seed=1), values(8, seed=2)
        expected = self.expected(x, weight, strides, pad, dilations, groups) + bias[:, None, None]
        check(
            "conv",
            expected,
            x=x,
            weight=weight,
            bias=bias,
            strides=strides,
            pad_type="custom",
            pad=pad,
            dilations=dilations,
            groups=groups,
        )

    def test_valid_padding_ignores_pad(self) -> None:
        x, weight = values(1, 2, 5, 6), values(3, 2, 3, 3, seed=1)
        plain: dict[str, Any] = {"strides": [1, 1], "dilations": [1, 1], "groups": 1}
        expected = self.expected(x, weight, pad=[0, 0, 0, 0], **plain)
        check("conv", expected, x=x, weight=weight, pad_type="valid", pad=[9, 9, 9, 9], **plain)

    def test_other_padding_is_not_taken_for_none(self) -> None:
        x, weight = values(1, 2, 5, 6), values(3, 2, 3, 3)
        plain: dict[str, Any] = {"strides": [1, 1], "pad": [0] * 4, "dilations": [1, 1], "groups": 1}
        with pytest.raises(NotImplementedError, match="same"):
            computed("conv", x=x, weight=weight, pad_type="same", **plain)


def interpolated(x: Array, grids: tuple[list[float], list[float]]) -> Array:
    """x at the points of a grid over its last two axes, by numpy's linear interpolation."""
    for axis, points in zip((-2, -1), grids, strict=True):
        cells = np.arange(x.shape[axis])
        x = np.apply_along_axis(lambda line, at=points, cells=cells: np.interp(at, cells, line), axis, x)
    return x


class TestUpsampleBilinear:
    # The examples in coremltools' definition of the operation: an axis of 2 cells, 5 and 6 samples wanted.
    @pytest.mark.parametrize(
        ("wanted", "align_corners", "grid"),
        [
            (5, False, [0.0, 0.1, 0.5, 0.9, 1.0]),
            (5, True, [0.0, 0.25, 0.5, 0.75, 1.0]),
            (6, False, [0.0, 0.0, 1 / 3, 2 / 3, 1.0, 1.0]),
            (6, True, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ],
    )
    def test_grids_of_the_definition(self, wanted: int, align_corners: bool, grid: list[float]) -> None:
        x = values(1, 2, 2, 3)
        check(
            "upsample_bilinear",
            interpolated(x, (grid, [0.0, 1.0, 2.0])),
            x=x,
            scale_factor_height=np.float32((wanted + 1e-4) / 2),
            scale_factor_width=1,
            align_corners=align_corners,
        )

    def test_sampling_from_the_first_cell(self) -> None:
        x = values(1, 1, 3, 4)
        grids = ([0.0, 0.5, 1.0, 1.5, 2.0, 2.0], [0.0, 4 / 3, 8 / 3])
        check(
            "upsample_bilinear",
            interpolated(x, grids),
            x=x,
            scale_factor_height=2,
            scale_factor_width=np.float32(0.76),
            align_corners=False,
            half_pixel_centers=False,
        )

    # What MobileViT does to a map that patches do not tile: stretched, and later shrunk again.
    @pytest.mark.parametrize(
        ("length", "wanted"), [(5, 6), (6, 5), (9, 10), (10, 9), (1, 2), (2, 1), (33, 34)]
    )
    def test_stretching_and_shrinking_as_torch_does(self, length: int, wanted: int) -> None:
        x = values(1, 2, length, length + 1)
        factor = np.float32((wanted + 1e-4) / length)
        size = (wanted, math.floor(factor * (length + 1)))
        expected = torch.nn.functional.interpolate(
            torch.tensor(x), size=size, mode="bilinear", align_corners=False
        )
        check(
            "upsample_bilinear",
            np.asarray(expected),
            x=x,
            scale_factor_height=factor,
            scale_factor_width=factor,
            align_corners=False,
        )

    # What DeepLabV3 does: its pooled branch, one cell, to a map; and its logits to the size of the picture.
    @pytest.mark.parametrize(("cells", "size"), [((1, 1), (6, 4)), ((6, 4), (96, 64)), ((5, 7), (65, 97))])
    def test_enlarging_as_torch_does(self, cells: tuple[int, int], size: tuple[int, int]) -> None:
        x = values(1, 3, *cells)
        expected = torch.nn.functional.interpolate(
            torch.tensor(x), size=size, mode="bilinear", align_corners=False
        )
        check(
            "upsample_bilinear",
            np.asarray(expected),
            x=x,
            scale_factor_height=np.float32((size[0] + 1e-4) / cells[0]),
            scale_factor_width=np.float32((size[1] + 1e-4) / cells[1]),
            align_corners=False,
        )

    def test_contradictory_modes(self) -> None:
        modes = {"align_corners": True, "half_pixel_centers": True}
        with pytest.raises(NotImplementedError, match="half_pixel_centers"):
            computed(
                "upsample_bilinear",
                x=values(1, 1, 2, 2),
                scale_factor_height=2,
                scale_factor_width=2,
                **modes,
            )


def test_no_operation_changes_its_arguments() -> None:
    x = torch.tensor(values(1, 2, 3, 4), dtype=torch.float32)
    cases: dict[str, Callable[[], Any]] = {
        "relu": lambda: OPERATIONS["relu"](x=x),
        "silu": lambda: OPERATIONS["silu"](x=x),
        "add": lambda: OPERATIONS["add"](x=x, y=x),
        "clip": lambda: OPERATIONS["clip"](x=x, alpha=torch.tensor(0.0), beta=torch.tensor(1.0)),
    }
    before = x.clone()
    for run in cases.values():
        run()
        assert torch.equal(x, before)


class TestCompressedWeights:
    """Integers go in as they are, never as floats."""

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_affine_dequantize_has_a_scale_and_a_shift_for_each_slice(self, axis: int) -> None:
        data = np.random.default_rng(0).integers(-127, 128, (3, 3, 3)).astype(np.int8)
        scale, shift = np.array([0.5, 2, 0.25], np.float32), np.array([0, 3, -7], np.int8)
        result = OPERATIONS["constexpr_affine_dequantize"](
            quantized_data=torch.tensor(data),
            zero_point=torch.tensor(shift),
            scale=torch.tensor(scale),
            axis=axis,
        )
        moved = np.moveaxis(data.astype(np.float64), axis, -1)
        np.testing.assert_array_equal(result, np.moveaxis((moved - shift) * scale, -1, axis))

    def test_affine_dequantize_with_one_scale(self) -> None:
        result = OPERATIONS["constexpr_affine_dequantize"](
            quantized_data=torch.tensor([[250, 3]], dtype=torch.uint8),
            zero_point=5,
            scale=torch.tensor(0.5),
            axis=0,
        )
        assert result.tolist() == [[122.5, -1.0]]

    @pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
    def test_packed_indices_start_with_the_lowest_bit(self, bits: int) -> None:
        """iOS 16; an index may lie in two bytes."""
        indices = np.random.default_rng(bits).integers(0, 2**bits, 35)
        lut = values(2**bits)
        stream = [int(index) >> bit & 1 for index in indices for bit in range(bits)]
        packed = np.packbits(stream, bitorder="little")
        result = OPERATIONS["constexpr_lut_to_dense"](
            indices=torch.tensor(packed), lut=torch.tensor(lut, dtype=torch.float32), shape=[5, 7]
        )
        np.testing.assert_array_equal(result, lut[indices].reshape(5, 7))

    def test_groups_of_channels_have_palettes_of_their_own(self) -> None:
        """iOS 18: [6, 4] in three groups of two rows."""
        indices = np.random.default_rng(0).integers(0, 16, (6, 4)).astype(np.uint8)
        lut = values(3, 1, 16, 1)
        result = OPERATIONS["constexpr_lut_to_dense"](
            indices=torch.tensor(indices), lut=torch.tensor(lut, dtype=torch.float32)
        )
        expected = [[lut[row // 2, 0, index, 0] for index in indices[row]] for row in range(6)]
        np.testing.assert_array_equal(result, expected)

    def test_palettes_of_vectors_are_refused(self) -> None:
        with pytest.raises(NotImplementedError, match="vectors"):
            OPERATIONS["constexpr_lut_to_dense"](
                indices=torch.zeros(2, 2, dtype=torch.uint8), lut=torch.zeros(1, 1, 16, 2)
            )


class TestQuantizedActivations:
    """As coremltools' own inference of constants has them, one value after the other."""

    @staticmethod
    def expected(x: float, scale: float, zero_point: int, limits: tuple[int, int]) -> int:
        return min(max(round(x / scale) + zero_point, limits[0]), limits[1])  # Python rounds halves to even

    @pytest.mark.parametrize(
        ("dtype", "zero_point", "limits"),
        [("int8", 0, (-128, 127)), ("int8", -3, (-128, 127)), ("uint8", 7, (0, 255))],
    )
    def test_quantize(self, dtype: str, zero_point: int, limits: tuple[int, int]) -> None:
        x = np.array([-1000.0, -1.25, -0.75, -0.25, 0.0, 0.25, 0.75, 1.25, 3.1, 63.5, 1000.0])
        result = OPERATIONS["quantize"](
            input=torch.tensor(x, dtype=torch.float32),
            scale=torch.tensor(0.5),
            zero_point=zero_point,
            output_dtype=dtype,
        )
        assert result.tolist() == [self.expected(value, 0.5, zero_point, limits) for value in x]

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_a_scale_for_each_slice_there_and_back(self, axis: int) -> None:
        levels = np.random.default_rng(0).integers(-128, 128, (3, 3, 3)).astype(np.int8)
        scale, shift = np.array([0.5, 1.0, 2.0]), np.array([0, 3, -4], dtype=np.int8)
        shape = [1, 1, 1]
        shape[axis] = 3
        values = scale.reshape(shape) * (levels.astype(np.float64) - shift.reshape(shape))
        numbers: dict[str, Any] = {
            "scale": torch.tensor(scale, dtype=torch.float32),
            "zero_point": torch.tensor(shift),
            "axis": axis,
        }
        floats = OPERATIONS["dequantize"](input=torch.tensor(levels), **numbers)
        assert np.array_equal(floats.numpy(), values)
        back = OPERATIONS["quantize"](input=floats, output_dtype="int8", **numbers)
        assert np.array_equal(back.numpy(), levels)

    def test_dequantize_needs_no_zero_point(self) -> None:
        levels = torch.tensor([-128, 0, 127], dtype=torch.int8)
        assert OPERATIONS["dequantize"](input=levels, scale=torch.tensor(0.25)).tolist() == [-32, 0, 31.75]
