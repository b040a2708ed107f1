"""Whole programs, built with coremltools' builder and computed independently in numpy."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mobilevit_deploy.targets.coreml import mil_interpreter
from mobilevit_deploy.targets.coreml.mil_interpreter import MilInterpreter
from mobilevit_deploy.targets.coreml.mil_ops import OPERATIONS

from mobilevit_deploy.errors import SessionError

Build = Callable[..., Any]


@pytest.fixture(scope="session")
def mb(ct: Any) -> Any:
    """coremltools' builder of MIL programs."""
    from coremltools.converters.mil import Builder

    return Builder


def run(function: Any, *arrays: np.ndarray) -> np.ndarray:
    (result,) = MilInterpreter(function).run(dict(zip(function.inputs, arrays, strict=True))).values()
    return result


class TestRounding:
    """float16 where the program says float16, and nowhere else."""

    def test_each_result_is_rounded_once(self, mil_function: Build, mb: Any) -> None:
        def body(x: Any) -> Any:
            half = mb.cast(x=x, dtype="fp16")
            product = mb.mul(x=half, y=np.float16(1.1))
            return mb.cast(x=mb.add(x=product, y=np.float16(100)), dtype="fp32")

        x = np.linspace(-3, 3, 101, dtype=np.float32)
        expected = (x.astype(np.float16) * np.float16(1.1) + np.float16(100)).astype(np.float32)
        assert np.array_equal(run(mil_function(body, x.shape), x), expected)

    def test_float32_is_not_rounded(self, mil_function: Build, mb: Any) -> None:
        x = np.array([1.0001], np.float32)
        function = mil_function(lambda x: mb.add(x=x, y=np.float32(2048)), x.shape)
        assert run(function, x) == np.float32(1.0001) + np.float32(2048)

    def test_sums_are_accumulated_wide(self, mil_function: Build, mb: Any) -> None:
        # Accumulated in float16, ones stop adding up at 2048.
        weight = np.ones((1, 8192), np.float16)
        function = mil_function(lambda x: mb.linear(x=x, weight=weight), (1, 8192), dtype="fp16")
        result = run(function, np.ones((1, 8192), np.float16))
        assert result.dtype == np.float16
        assert result == 8192

    def test_what_float16_cannot_hold_becomes_infinite(self, mil_function: Build, mb: Any) -> None:
        function = mil_function(lambda x: mb.mul(x=x, y=np.float16(2)), (1,), dtype="fp16")
        assert run(function, np.array([40_000], np.float16)) == np.inf

    def test_inputs_are_rounded_to_their_declared_type(self, mil_function: Build, mb: Any) -> None:
        function = mil_function(lambda x: mb.relu(x=x), (1,), dtype="fp16")
        assert run(function, np.array([1.0001], np.float32)) == 1


class TestDefaults:
    """Inputs that a program leaves out take MIL's defaults."""

    def test_convolution(self, mil_function: Build, mb: Any) -> None:
        weight = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
        x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
        function = mil_function(lambda x: mb.conv(x=x, weight=weight), x.shape)
        windows = np.lib.stride_tricks.sliding_window_view(x[0, 0], (2, 2))
        expected = np.einsum("ijkl,okl->oij", windows, weight[:, 0])[None]
        assert np.array_equal(run(function, x), expected)

    def test_softmax_layer_norm_and_mean(self, mil_function: Build, mb: Any) -> None:
        def body(x: Any) -> Any:
            return mb.reduce_mean(x=mb.mul(x=mb.softmax(x=x), y=mb.layer_norm(x=x, axes=[0, 1])))

        x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
        weights = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
        expected = (weights * (x - x.mean()) / np.sqrt(x.var() + 1e-5)).mean()
        np.testing.assert_allclose(run(mil_function(body, x.shape), x), expected, rtol=1e-5)

    @pytest.mark.parametrize("opset", ["iOS15", "iOS16"])
    def test_upsampling_aligns_corners(self, mil_function: Build, mb: Any, opset: str) -> None:
        x = np.array([0.0, 3.0], np.float32).reshape(1, 1, 1, 2)
        function = mil_function(
            lambda x: mb.upsample_bilinear(x=x, scale_factor_width=2), x.shape, opset=opset
        )
        np.testing.assert_allclose(run(function, x).ravel(), [0, 1, 2, 3], atol=1e-6)


def test_a_transformer_layers_worth_of_operations(mil_function: Build, mb: Any) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((6, 3, 1, 1)).astype(np.float32)
    weight, bias = rng.standard_normal((6, 6)).astype(np.float32), rng.standard_normal(6).astype(np.float32)
    gamma, beta = rng.standard_normal(6).astype(np.float32), rng.standard_normal(6).astype(np.float32)
    x = rng.standard_normal((1, 3, 2, 4)).astype(np.float32)

    def body(x: Any) -> Any:
        features = mb.silu(x=mb.conv(x=x, weight=kernel))
        tokens = mb.transpose(x=mb.reshape(x=features, shape=[6, 8]), perm=[1, 0])
        normal = mb.layer_norm(x=tokens, axes=[-1], gamma=gamma, beta=beta)
        query = mb.linear(x=normal, weight=weight, bias=bias)
        weights = mb.softmax(x=mb.mul(x=mb.matmul(x=query, y=normal, transpose_y=True), y=0.25))
        return mb.concat(values=[mb.add(x=mb.matmul(x=weights, y=normal), y=tokens), tokens], axis=1)

    features = np.einsum("oc,bchw->ohw", kernel[:, :, 0, 0], x)
    tokens = (features / (1 + np.exp(-features))).reshape(6, 8).T
    normal = tokens - tokens.mean(-1, keepdims=True)
    normal = normal / np.sqrt((normal**2).mean(-1, keepdims=True) + 1e-5) * gamma + beta
    scores = np.exp((normal @ weight.T + bias) @ normal.T / 4)
    mixed = scores / scores.sum(-1, keepdims=True) @ normal
    expected = np.concatenate([mixed + tokens, tokens], axis=1)
    np.testing.assert_allclose(run(mil_function(body, x.shape), x), expected, rtol=1e-4, atol=1e-5)


def test_several_inputs_and_outputs_go_by_name(mil_function: Build, mb: Any) -> None:
    def body(a: Any, b: Any) -> Any:
        return mb.add(x=a, y=b, name="sum"), mb.mul(x=a, y=b, name="product")

    function = mil_function(body, (2,), (2,))
    result = MilInterpreter(function).run({"b": np.float32([5, 7]), "a": np.float32([2, 3])})
    assert {name: array.tolist() for name, array in result.items()} == {"sum": [7, 10], "product": [10, 21]}


def test_results_of_one_operation_go_their_own_ways(mil_function: Build, mb: Any) -> None:
    def body(x: Any) -> Any:
        first, second, third = mb.split(x=x, split_sizes=[1, 2, 1], axis=0)
        return mb.concat(values=[mb.relu(x=third), second, first], axis=0)

    result = run(mil_function(body, (4,)), np.float32([1, -2, 3, -4]))
    assert result.tolist() == [0, -2, 3, 1]


def test_a_value_is_kept_until_its_last_use_and_no_longer(
    mil_function: Build, mb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def silu(*, x: torch.Tensor) -> torch.Tensor:
        nonlocal most
        result = OPERATIONS["silu"](x=x)
        alive.append(weakref.ref(result))
        most = max(most, sum(ref() is not None for ref in alive))
        return result

    def body(x: Any) -> Any:
        first = last = mb.silu(x=x)
        for _ in range(20):
            last = mb.silu(x=last)
        return mb.add(x=first, y=last)  # the first result is needed to the end

    monkeypatch.setattr(mil_interpreter, "OPERATIONS", {**OPERATIONS, "silu": silu})
    expected = x = np.float32([3.0])
    chain = [expected := expected / (1 + np.exp(-expected)) for _ in range(21)]
    np.testing.assert_allclose(run(mil_function(body, (1,)), x), chain[0] + chain[-1], rtol=1e-5)
    assert most <= 3  # the first, and argument and result of the operation that runs


class TestClassify:
    """The operation that gives no tensors: a name, and a dictionary."""

    @staticmethod
    def function(mil_function: Build, mb: Any, *classes: str) -> Any:
        def body(x: Any) -> Any:
            from coremltools.converters.mil.mil.operation import mil_list

            scores = mb.mul(x=x, y=np.float32(2), name="scores")
            label, table = mb.classify(
                probabilities=mb.softmax(x=scores, name="p"), classes=mb.const(val=mil_list(list(classes)))
            )
            label.name, table.name = "label", "table"
            return label, table, scores

        return mil_function(body, (1, len(classes)))

    def test_best_class_and_all_probabilities_by_name(self, mil_function: Build, mb: Any) -> None:
        x = np.float32([[0.5, 1.5, -1]])
        result = MilInterpreter(self.function(mil_function, mb, "cat", "dog", "eel")).run({"x": x})
        expected = np.exp(2 * x[0]) / np.exp(2 * x[0]).sum()
        assert result["label"] == "dog"
        assert list(result["table"]) == ["cat", "dog", "eel"]
        np.testing.assert_allclose(list(result["table"].values()), expected, rtol=1e-6)

    def test_other_outputs_stay(self, mil_function: Build, mb: Any) -> None:
        result = MilInterpreter(self.function(mil_function, mb, "a", "b")).run({"x": np.float32([[3, 4]])})
        assert result["scores"].tolist() == [[6, 8]]


class TestRefusal:
    def test_unknown_operations_are_all_named(self, mil_function: Build, mb: Any) -> None:
        function = mil_function(lambda x: mb.sin(x=mb.erf(x=mb.relu(x=x))), (1,))
        with pytest.raises(SessionError, match=r"operations: erf, sin\.") as caught:
            MilInterpreter(function)
        assert "Mac" in caught.value.remedy

    def test_unknown_type_is_named(self, mil_function: Build, mb: Any) -> None:
        function = mil_function(lambda x: mb.cast(x=x, dtype="uint16"), (1,), opset="iOS17")
        with pytest.raises(SessionError, match="type uint16"):
            MilInterpreter(function)

    def test_one_name_for_two_values(self, mil_function: Build, mb: Any) -> None:
        function = mil_function(lambda x: mb.silu(x=mb.relu(x=x, name="half")), (1,))
        function.operations[0].outputs[0].name = "x"  # as a program would say that was badly renamed
        with pytest.raises(SessionError, match=r"more than one value: x\."):
            MilInterpreter(function)

    def test_unknown_mode_is_named_with_its_operation(self, mil_function: Build, mb: Any) -> None:
        function = mil_function(lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION", name="odd"), (1,))
        with pytest.raises(SessionError, match=r"'gelu' \(odd\) failed: gelu with mode 'SIGMOID_APPROX"):
            run(function, np.float32([1]))

    def test_result_of_another_shape_than_declared(
        self, mil_function: Build, mb: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = {**OPERATIONS, "relu": lambda *, x: x[:1]}
        monkeypatch.setattr(mil_interpreter, "OPERATIONS", wrong)
        with pytest.raises(SessionError, match=r"gave \[1\], the program declares \[2\]"):
            run(mil_function(lambda x: mb.relu(x=x), (2,)), np.float32([1, 2]))

    @pytest.mark.parametrize("inputs", [{}, {"x": np.zeros(3, np.float32)}], ids=["missing", "misshapen"])
    def test_wrong_input(self, mil_function: Build, mb: Any, inputs: dict[str, np.ndarray]) -> None:
        interpreter = MilInterpreter(mil_function(lambda x: mb.relu(x=x), (2,)))
        with pytest.raises(SessionError, match=r"takes x\[2\]"):
            interpreter.run(inputs)
