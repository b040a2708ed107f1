"""Lower precisions, written into a float32 ONNX model.

``int8`` is ONNX Runtime's QDQ form: QuantizeLinear and DequantizeLinear around each operator that is to run
in 8 bits. Runtimes fuse the three; those that cannot compute the same in float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mobilevit_deploy.quantize import Precision, inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.target import ExportOptions

EIGHT_BIT = ("Conv", "Gemm", "Sigmoid", "Mul", "Concat", "Add")
"""Operators that ``int8`` runs in 8 bits, all with fast kernels in ONNX Runtime: convolutions, linear layers,
both halves of SiLU, and what joins maps. LayerNorm, softmax and attention's two products stay float: with
the last three in 8 bits, the whole graph takes a fifth longer."""

_FLOAT_RESULTS = [kind for kind in EIGHT_BIT if kind != "Conv"]
"""Operators whose result is rounded only where one of ``EIGHT_BIT`` reads it. There is no 8-bit convolution
with a float result."""

_TOKENS = ("transformer",)
"""Modules whose Add stays float: the sum of all layers of a transformer needs more than 256 levels."""


def in_precision(
    model: onnx.ModelProto, options: ExportOptions, modules: Mapping[str, str], folder: Path
) -> onnx.ModelProto:
    """The same model, inputs and outputs of the same types, in ``options.precision``.

    Args:
        model: float32; may change.
        options: the precision, and what ``int8`` needs.
        modules: the module that each node comes from, by the node's name.
        folder: for files that ONNX Runtime writes on its way.
    """
    match options.precision:
        case Precision.FP16:
            return _half(model)
        case Precision.INT8:
            return _static(model, options, modules, folder)
        case Precision.INT8_DYNAMIC:
            model = _dynamic(model, folder)
            _store_weights(model, ("Conv",))
        case Precision.INT8_WEIGHTS:
            _store_weights(model, ("Conv", "Gemm"))
    return model


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    return half


def _static(
    model: onnx.ModelProto, options: ExportOptions, modules: Mapping[str, str], folder: Path
) -> onnx.ModelProto:
    """8-bit arithmetic, in ranges found on pictures."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Pictures(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self, name: str, inputs: Iterable[NDArray[Any]]) -> None:
            self._feeds = ({name: array} for array in inputs)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._feeds, None)

    def stays_float(node: onnx.NodeProto) -> bool:
        path = modules[node.name]
        return inside(path, options.float_modules) or (node.op_type == "Add" and inside(path, _TOKENS))

    assert options.calibration is not None, "int8 needs ranges"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / "quantised.onnx"
        quantize_static(
            model,
            out,
            Pictures(model.graph.input[0].name, options.calibration.inputs),
            op_types_to_quantize=list(EIGHT_BIT),
            nodes_to_exclude=[node.name for node in model.graph.node if stays_float(node)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": _FLOAT_RESULTS},
        )
        return onnx.load(out)


def _dynamic(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Linear layers in 8 bits, their input's range found anew at each inference.

    Convolutions are not: ONNX Runtime's ConvInteger takes five times as long as float.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / "quantised.onnx"
        quantize_dynamic(
            model, out, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
        )
        return onnx.load(out)


def _store_weights(model: onnx.ModelProto, kinds: Iterable[str]) -> None:
    """Store the weights of these operators as int8 numbers and a scale for each output channel.

    Cast and Mul make floats of them, which every runtime folds while loading: the graph runs as fast as in
    float32. After DequantizeLinear, which ONNX Runtime never folds, convolutions run 1.5 times as long.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type in kinds]:
        name = node.input[1]
        levels, scale = _rounded(numpy_helper.to_array(weights[name]))
        graph.initializer.remove(weights[name])
        graph.initializer.extend(
            numpy_helper.from_array(array, f"{name}_{part}")
            for array, part in ((levels, "levels"), (scale, "scale"))
        )
        graph.node.insert(
            0, helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name], f"{node.name}_scaled")
        )
        graph.node.insert(
            0,
            helper.make_node(
                "Cast", [f"{name}_levels"], [f"{name}_float"], f"{node.name}_cast", to=onnx.TensorProto.FLOAT
            ),
        )


def _rounded(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """[out, ...] as int8 in -127 to 127, and what to multiply it by, [out, 1, ...]."""
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale
