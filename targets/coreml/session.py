"""An .mlpackage opened here: by Core ML on a Mac, by the interpreter elsewhere."""

from __future__ import annotations

import platform
import warnings
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import SessionError

from .mil_interpreter import MilInterpreter
from .package import read_function
from .toolkit import load_coremltools

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact


class InterpreterSession:
    """Evaluates the package's operations in PyTorch; proves parity, measures nothing."""

    measurable = False

    def __init__(self, artifact: Artifact) -> None:
        self.engine = f"mil-interpreter (coremltools {load_coremltools().__version__})"
        self._artifact = artifact
        self._interpreter = MilInterpreter(read_function(artifact.path))

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; see ``Session``."""
        results = self._interpreter.run(_by_name(self._artifact, inputs))
        return _in_order(self._artifact, results)

    def close(self) -> None:
        """Nothing to release."""


class CoremlSession:
    """Core ML itself, on all compute units: what an app gets unless it asks for another choice."""

    measurable = True

    def __init__(self, artifact: Artifact) -> None:
        ct = load_coremltools()
        self.engine = f"coreml (macOS {platform.mac_ver()[0]})"
        self._artifact = artifact
        try:
            with warnings.catch_warnings():
                # coremltools only warns of a model that Core ML refuses, and fails at the first prediction.
                warnings.filterwarnings("error", "You will not be able to run predict", RuntimeWarning)
                self._model = ct.models.MLModel(str(artifact.path), compute_units=ct.ComputeUnit.ALL)
        except Exception as error:  # coremltools raises plain Exception too
            raise SessionError(
                f"Core ML cannot load {artifact.path}: {error}.", remedy="Export the model again."
            ) from error

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; see ``Session``."""
        feed = _by_name(self._artifact, inputs)
        try:
            results = self._model.predict(feed)
        except Exception as error:
            raise SessionError(
                f"Core ML failed on {self._artifact.path}: {error}.", remedy="Export the model again."
            ) from error
        return _in_order(self._artifact, results)

    def close(self) -> None:
        """Core ML releases the model with its last reference."""
        del self._model


def _by_name(artifact: Artifact, inputs: tuple[NDArray[Any], ...]) -> dict[str, NDArray[Any]]:
    artifact.check_inputs(inputs)
    return {spec.name: array for spec, array in zip(artifact.inputs, inputs, strict=True)}


def _in_order(artifact: Artifact, results: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    missing = [spec.name for spec in artifact.outputs if spec.name not in results]
    if missing:
        raise SessionError(
            f"{artifact.path} gives {', '.join(results)}, not {', '.join(missing)}.",
            remedy="Export the model again.",
        )
    return tuple(results[spec.name] for spec in artifact.outputs)
