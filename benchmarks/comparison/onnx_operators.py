"""The operators of an .onnx file, timed by ONNX Runtime's own profiler after its optimisations."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.operators import Operator, convolution

_RUNS, _WARM_UP = 30, 5
_EVENT = "_kernel_time"

_WEIGHTS = {"QLinearConv": 3, "QGemm": 3, "QLinearMatMul": 3}
"""Position of the second operand among the inputs of a node; 1 for all others."""

_CONVOLUTIONS = ("Conv", "FusedConv", "QLinearConv", "ConvInteger")
_PRODUCTS = (
    *("Gemm", "FusedGemm", "QGemm"),
    *("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
    "DynamicQuantizeMatMul",
)


def onnx_operators(path: Path) -> list[Operator]:
    """Every node that ran, in order, on one thread."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.optimized_model_filepath = str(optimised)
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        feed = {given.name: _noise(tuple(given.shape), given.type)}
        for _ in range(_WARM_UP + _RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        graph = onnx.load(optimised).graph
    runs: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_EVENT):
            runs[event["name"].removesuffix(_EVENT)].append(event)
    nodes = {node.name: node for node in graph.node}
    constants = {constant.name: tuple(constant.dims) for constant in graph.initializer}
    for node in graph.node:  # weights that are stored in 8 bits, and used in float
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return [_operator(nodes[name], constants, taken[_WARM_UP:]) for name, taken in runs.items()]


def _operator(node: Any, constants: dict[str, tuple[int, ...]], runs: list[Any]) -> Operator:
    kind = node.op_type
    ms = statistics.median(run["dur"] for run in runs) / 1000
    if kind not in (*_CONVOLUTIONS, *_PRODUCTS):
        return Operator(kind, ms, 0.0, eight_bit=False)
    args = runs[0]["args"]
    # Each is {"float": [1, 3, 256, 256]}, a tensor's shape under its type; weights that the runtime packed
    # are missing among the inputs.
    (left,), (result,) = args["input_type_shape"][0].values(), args["output_type_shape"][0].values()
    weights = constants.get(node.input[_WEIGHTS.get(kind, 1)])
    eight_bit = "Q" in kind or "Integer" in kind
    if kind in _CONVOLUTIONS:
        assert weights is not None, f"{node.name} convolves with what is no constant"
        channels, per_channel, *kernel = weights
        group = convolution((kernel[0], kernel[1]), depthwise=per_channel == 1 and channels > 1)
        return Operator(group, ms, math.prod(result) * math.prod(weights[1:]) / 1e6, eight_bit)
    group = "attention product" if weights is None else "linear"
    return Operator(group, ms, math.prod(result) * _inner(left, result) / 1e6, eight_bit)


def _inner(left: list[int], result: list[int]) -> int:
    """The axis that a product sums over: what is left of the first operand without rows and batches."""
    return math.prod(left) // math.prod(result[:-1])


def _noise(shape: tuple[int, ...], kind: str) -> Any:
    random = np.random.default_rng(0)
    return random.integers(0, 256, shape, np.uint8) if "uint8" in kind else random.random(shape, np.float32)
