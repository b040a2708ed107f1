"""An .onnx file opened by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnxruntime

from mobilevit_deploy.errors import SessionError, first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact, TensorSpec

_FATAL = 4
"""ONNX Runtime logs each error that it raises, too, unless told to log only what ends the process."""

_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "int32": "tensor(int32)"}
"""ONNX Runtime's names of what our files take and give."""


class OnnxSession:
    """ONNX Runtime's own CPU kernels, as an Android app gets them unless it asks for another provider."""

    measurable = True

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        self.engine = f"onnxruntime {onnxruntime.__version__}"
        self._artifact = artifact
        self._outputs = [spec.name for spec in artifact.outputs]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(
                str(artifact.path),
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # the same provider once more, announced on stdout
            )
        except Exception as error:  # its errors share no class but this
            raise SessionError(
                f"ONNX Runtime cannot load {artifact.path}: {first_line(error)}.",
                remedy="Export the model again.",
            ) from error
        self._check_declared("inputs", artifact.inputs, self._session.get_inputs())
        self._check_declared("outputs", artifact.outputs, self._session.get_outputs())

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; see ``Session``."""
        self._artifact.check_inputs(inputs)
        feed = {spec.name: array for spec, array in zip(self._artifact.inputs, inputs, strict=True)}
        try:
            return tuple(self._session.run(self._outputs, feed))
        except Exception as error:
            raise SessionError(
                f"ONNX Runtime failed on {self._artifact.path}: {first_line(error)}.",
                remedy="Export the model again.",
            ) from error

    def close(self) -> None:
        """ONNX Runtime releases the model with its last reference."""
        del self._session

    def _check_declared(self, what: str, declared: tuple[TensorSpec, ...], found: list[Any]) -> None:
        expected = [(spec.name, _TYPES.get(spec.dtype, spec.dtype), list(spec.shape)) for spec in declared]
        actual = [(tensor.name, tensor.type, tensor.shape) for tensor in found]
        if actual != expected:
            raise SessionError(
                f"{self._artifact.path} has the {what} {actual}, and was said to have {expected}.",
                remedy="Export the model again, and keep the file and its manifest together.",
            )
