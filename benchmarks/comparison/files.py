"""Opens any .tflite, .onnx or .pte file, ours or a peer's, and feeds it as the file itself asks.

The targets' own sessions hold a file against its manifest, which a peer's has not. These take the same
runtimes with the same settings, and one way of measuring serves all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mobilevit_deploy.artifact import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class OpenFile(Protocol):
    """An open file with one input, which ``mobilevit_deploy.bench.sampling`` times as it does a session.

    Attributes:
        input: the picture, or ``pixel_values``.
    """

    input: TensorSpec

    def prepare(self, array: NDArray[Any]) -> NDArray[Any]:
        """What ``run`` takes, of what ``input`` declares: the same, but for files with an 8-bit input."""

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; the logits are float."""

    def close(self) -> None:
        """Release what the runtime holds."""


def open_file(path: Path, runtime: str, *, threads: int = 1) -> OpenFile:
    """Load ``path`` into the runtime of the target ``runtime``."""
    opened: OpenFile = _OPENERS[runtime](path, threads)
    return opened


def _spec(shape: tuple[int, ...], dtype: str) -> TensorSpec:
    layout = "NCHW" if shape[1] == 3 else "NHWC"
    return TensorSpec(name="input", shape=shape, dtype=dtype, layout=layout)


class _TakesAsDeclared:
    def prepare(self, array: NDArray[Any]) -> NDArray[Any]:
        return array


class _Tflite:
    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        (given,) = self._interpreter.get_input_details()
        shape = tuple(given["shape_signature"].tolist())
        if shape[0] == -1:  # the documentation page's files take any number of pictures
            shape = (1, *shape[1:])
            self._interpreter.resize_tensor_input(given["index"], shape, strict=True)
        self._interpreter.allocate_tensors()
        (self._given,), (self._wanted,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        dtype = np.dtype(self._given["dtype"]).name
        self.input = _spec(shape, "float32" if dtype == "int8" else dtype)

    def prepare(self, array: NDArray[Any]) -> NDArray[Any]:
        if self._given["dtype"] != np.int8:
            return array
        scale, zero = self._given["quantization"]
        quantised: NDArray[Any] = np.round(array / scale + zero).clip(-128, 127).astype(np.int8)
        return quantised

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._interpreter.set_tensor(self._given["index"], inputs[0])
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._wanted["index"])
        scale, zero = self._wanted["quantization"]
        return (scale * (logits.astype(np.float32) - zero),) if logits.dtype == np.int8 else (logits,)

    def close(self) -> None:
        del self._interpreter


class _Onnx(_TakesAsDeclared):
    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        (given,) = self._session.get_inputs()
        dtype = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}[given.type]
        self._name, self.input = given.name, _spec(tuple(given.shape), dtype)

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return tuple(self._session.run(None, {self._name: inputs[0]}))

    def close(self) -> None:
        del self._session


class _Executorch(_TakesAsDeclared):
    def __init__(self, path: Path, threads: int) -> None:
        import torch
        from executorch.extension.pybindings import _portable_lib as runtime

        if runtime._threadpool_get_thread_count() != threads:
            runtime._unsafe_reset_threadpool(threads)
        # Kernels for 8 bits outside of XNNPACK, which stock quantised files call, register when imported.
        import executorch.kernels.quantized  # noqa: F401

        self._tensor = torch.from_numpy
        self._program = runtime._load_program(str(path))
        self._method = self._program.load_method("forward")
        given = self._program.method_meta("forward").input_tensor_meta(0)
        self.input = _spec(tuple(given.sizes()), {0: "uint8", 6: "float32"}[given.dtype()])

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return tuple(output.numpy() for output in self._method([self._tensor(inputs[0])]))

    def close(self) -> None:
        self._method = self._program = None


_OPENERS: dict[str, Any] = {"tflite": _Tflite, "onnx": _Onnx, "executorch": _Executorch}
