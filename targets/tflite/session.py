"""A .tflite file opened by LiteRT."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ai_edge_litert.interpreter import Interpreter

from mobilevit_deploy.errors import SessionError, first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact, TensorSpec


class TfliteSession:
    """LiteRT's interpreter with XNNPACK, its default on a phone's CPU too."""

    measurable = True

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        self.engine = f"litert {version('ai-edge-litert')}"
        self._artifact = artifact
        try:
            self._interpreter = Interpreter(model_path=str(artifact.path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise SessionError(
                f"LiteRT cannot load {artifact.path}: {first_line(error)}.", remedy="Export the model again."
            ) from error
        self._inputs = self._indices("inputs", artifact.inputs, self._interpreter.get_input_details())
        self._outputs = self._indices("outputs", artifact.outputs, self._interpreter.get_output_details())

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; see ``Session``."""
        self._artifact.check_inputs(inputs)
        try:
            for index, array in zip(self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
            return tuple(self._interpreter.get_tensor(index) for index in self._outputs)
        except (ValueError, RuntimeError) as error:
            raise SessionError(
                f"LiteRT failed on {self._artifact.path}: {first_line(error)}.",
                remedy="Export the model again.",
            ) from error

    def close(self) -> None:
        """LiteRT releases the model with its last reference."""
        del self._interpreter

    def _indices(self, what: str, declared: tuple[TensorSpec, ...], found: list[Any]) -> list[int]:
        expected = [(spec.name, spec.shape) for spec in declared]
        actual = [(tensor["name"], tuple(tensor["shape"].tolist())) for tensor in found]
        if actual != expected:
            raise SessionError(
                f"{self._artifact.path} has the {what} {actual}, and was said to have {expected}.",
                remedy="Export the model again, and keep the file and its manifest together.",
            )
        return [tensor["index"] for tensor in found]
