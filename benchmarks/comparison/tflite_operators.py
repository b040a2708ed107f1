"""The operators of a .tflite file, each timed as a graph of its own.

LiteRT's Python package has no profiler, and XNNPACK runs a graph as one piece. So each operator is cut out,
with its weights, and run alone by the same runtime: its kernel is the same, and what the whole gains or loses
beyond the sum of its operators shows.
"""

from __future__ import annotations

import copy
import math
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.comparison.operators import Operator, convolution

_RUNS, _WARM_UP = 15, 3


def tflite_operators(path: Path) -> list[Operator]:
    """Every operator, in order, on one thread."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    (graph,) = model.subgraphs
    known: dict[bytes, float] = {}
    found = []
    for operator in graph.operators:
        alone = _alone(model, operator)
        if alone is None:
            continue
        # Layers that repeat differ by their weights alone, which do not change how long they take.
        identity = _identity(model, operator)
        if identity not in known:
            known[identity] = _milliseconds(bytes(flatbuffer_utils.convert_object_to_bytearray(alone)))
        found.append(_operator(model, operator, known[identity]))
    return found


def _alone(model: Any, operator: Any) -> Any:
    """A model of one operator; None if it depends on constants alone, which the runtime folds away."""
    whole = model.subgraphs[0]
    places = [place for place in [*operator.inputs, *operator.outputs] if place >= 0]
    tensors = list(dict.fromkeys(int(place) for place in places))
    moved = {place: number for number, place in enumerate(tensors)}
    one, part, graph = copy.copy(model), copy.copy(operator), copy.copy(whole)
    one.buffers = [model.buffers[0]]
    graph.tensors = []
    for place in tensors:
        tensor = copy.copy(whole.tensors[place])
        if _content(model, tensor) is not None:
            one.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(one.buffers) - 1
        else:
            tensor.buffer = 0
        graph.tensors.append(tensor)
    part.inputs = [moved.get(int(place), -1) for place in operator.inputs]
    part.outputs = [moved[int(place)] for place in operator.outputs]
    graph.inputs = [
        moved[place]
        for place in dict.fromkeys(int(place) for place in operator.inputs if place >= 0)
        if _content(model, whole.tensors[place]) is None
    ]
    graph.outputs, graph.operators = part.outputs, [part]
    one.subgraphs, one.signatureDefs, one.metadata, one.metadataBuffer = [graph], None, None, None
    return one if graph.inputs else None


def _content(model: Any, tensor: Any) -> Any:
    return model.buffers[tensor.buffer].data if tensor.buffer else None


def _identity(model: Any, operator: Any) -> bytes:
    tensors = [model.subgraphs[0].tensors[p] for p in [*operator.inputs, *operator.outputs] if p >= 0]
    ends = [
        (tuple(tensor.shape), tensor.type, _content(model, tensor) is None, _small(model, tensor))
        for tensor in tensors
    ]
    options = vars(operator.builtinOptions) if operator.builtinOptions else {}
    return repr((operator.opcodeIndex, ends, sorted((k, str(v)) for k, v in options.items()))).encode()


def _small(model: Any, tensor: Any) -> bytes:
    """Constants that say what to do, such as a permutation or a shape."""
    content = _content(model, tensor)
    return bytes(content) if content is not None and len(content) <= 64 else b""


def _milliseconds(content: bytes) -> float:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for given in interpreter.get_input_details():
        shape, dtype = given["shape"], np.dtype(given["dtype"])
        noise = random.random(shape, np.float32) if dtype.kind == "f" else random.integers(0, 100, shape)
        interpreter.set_tensor(given["index"], noise.astype(dtype))
    taken = []
    for _ in range(_WARM_UP + _RUNS):
        started = perf_counter()
        interpreter.invoke()
        taken.append(1000 * (perf_counter() - started))
    return statistics.median(taken[_WARM_UP:])


def _operator(model: Any, operator: Any, ms: float) -> Operator:
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    code = model.operatorCodes[operator.opcodeIndex]
    kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
    tensors = model.subgraphs[0].tensors
    shapes = [tuple(int(side) for side in tensors[place].shape) for place in operator.inputs if place >= 0]
    result = math.prod(int(side) for side in tensors[operator.outputs[0]].shape)
    # A product of float activations with 8-bit weights is quantised on the fly, and done in 8 bits.
    eight_bit = len(shapes) > 1 and tensors[operator.inputs[1]].type == schema.TensorType.INT8
    if kind == "CONV_2D":
        _, height, width, channels = shapes[1]
        group = convolution((height, width), depthwise=False)
        return Operator(group, ms, result * height * width * channels / 1e6, eight_bit)
    if kind == "DEPTHWISE_CONV_2D":
        _, height, width, _ = shapes[1]
        group = convolution((height, width), depthwise=True)
        return Operator(group, ms, result * height * width / 1e6, eight_bit)
    if kind == "FULLY_CONNECTED":
        return Operator("linear", ms, result * shapes[1][1] / 1e6, eight_bit)
    if kind == "BATCH_MATMUL":
        inner = shapes[0][-2] if operator.builtinOptions.adjX else shapes[0][-1]
        return Operator("attention product", ms, result * inner / 1e6, eight_bit)
    return Operator(kind.lower(), ms, 0.0, eight_bit=False)
