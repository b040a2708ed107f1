"""An .mlpackage opened here: by Core ML on a Mac, by the interpreter elsewhere."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mobilevit_deploy.errors import SessionError

from .mil_interpreter import MilInterpreter
from .package import read_package
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
        package = read_package(artifact.path)
        self._images = {
            feature.name: feature.type.imageType
            for feature in package.description.input
            if feature.type.WhichOneof("Type") == "imageType"
        }
        self._interpreter = MilInterpreter(package.function)

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; see ``Session``."""
        feed = _by_name(self._artifact, inputs)
        for name, image in self._images.items():
            if name in feed:
                feed[name] = _planes(feed[name], image)
        return _in_order(self._artifact, self._interpreter.run(feed))

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
        # An artifact declares 8-bit numbers for pictures alone, which Core ML takes as such.
        pictures = {
            name: Image.fromarray(array[0]) if array.dtype == np.uint8 else array
            for name, array in feed.items()
        }
        try:
            results = self._model.predict(pictures)
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


def _planes(picture: NDArray[Any], image: Any) -> NDArray[Any]:
    """What Core ML makes of an RGB picture: floats, channels first, in the order that the package declares.

    Args:
        picture: [1, height, width, 3], uint8.
        image: protobuf ``ImageFeatureType`` of the input.

    Returns:
        [1, 3, height, width], float32, 0..255.
    """
    order = {image.RGB: (0, 1, 2), image.BGR: (2, 1, 0)}.get(image.colorSpace)
    if order is None or (image.height, image.width) != picture.shape[1:3]:
        space = image.ColorSpace.Name(image.colorSpace)
        raise SessionError(
            f"The package takes pictures of {image.width}x{image.height} pixels in {space}, "
            f"and was given one of {picture.shape[2]}x{picture.shape[1]} in RGB.",
            remedy="Export the model again: package and manifest do not belong together.",
        )
    return picture[..., order].transpose(0, 3, 1, 2).astype(np.float32)


def _in_order(artifact: Artifact, results: Mapping[str, Any]) -> tuple[NDArray[Any], ...]:
    missing = [spec.name for spec in artifact.outputs if spec.name not in results]
    if missing:
        raise SessionError(
            f"{artifact.path} gives {', '.join(results)}, not {', '.join(missing)}.",
            remedy="Export the model again.",
        )
    return tuple(results[spec.name] for spec in artifact.outputs)
