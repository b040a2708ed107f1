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

_WEIGHTS = {"QLinearConv": 3, "QGemm": 3, "QLinearMatMul": 3}
"""Position of the second operand among the shapes of a node; 1 for all others."""

_CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv")
_PRODUCTS = ("Gemm", "MatMul", "FusedMatMul", "FusedGemm", "QGemm", "QLinearMatMul", "MatMulInteger")


def onnx_operators(path: Path) -> list[Operator]:
    """Every node that ran, in order, on one thread."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        feed = {given.name: _noise(tuple(given.shape), given.type)}
        for _ in range(_WARM_UP + _RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["name"]].append(event)
    return [_operator(runs[_WARM_UP:]) for runs in nodes.values()]


def _operator(runs: list[Any]) -> Operator:
    args = runs[0]["args"]
    kind = args["op_name"]
    # Each is {"float": [1, 3, 256, 256]}: the shape of a tensor, under its type.
    given = [next(iter(entry.items())) for entry in args["input_type_shape"]]
    (_, result), *_ = (next(iter(entry.items())) for entry in args["output_type_shape"])
    ms = statistics.median(run["dur"] for run in runs) / 1000
    position = _WEIGHTS.get(kind, 1)
    if kind not in (*_CONVOLUTIONS, *_PRODUCTS):
        return Operator(kind, ms, 0.0, eight_bit=False)
    weight_type, weights = given[position]
    eight_bit = weight_type in ("int8", "uint8")
    if kind in _CONVOLUTIONS:
        channels, per_output = weights[0], math.prod(weights[1:])
        group = convolution((weights[2], weights[3]), depthwise=weights[1] == 1 and channels > 1)
        return Operator(group, ms, math.prod(result) * per_output / 1e6, eight_bit)
    group = "attention product" if len(weights) > 2 else "linear"
    return Operator(group, ms, math.prod(result) * _inner(given[0][1], result) / 1e6, eight_bit)


def _inner(left: list[int], result: list[int]) -> int:
    """The axis that a product sums over: what is left of the first operand once rows and batches are out."""
    return math.prod(left) // math.prod(result[:-1])


def _noise(shape: tuple[int, ...], kind: str) -> Any:
    random = np.random.default_rng(0)
    return random.integers(0, 256, shape, np.uint8) if "uint8" in kind else random.random(shape, np.float32)
