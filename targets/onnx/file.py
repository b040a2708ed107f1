"""Reading an .onnx file: whatever is wrong with it is one error."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from mobilevit_deploy.errors import ArtifactError


def read_model(path: Path) -> onnx.ModelProto:
    """The model; weights in files beside it are not looked for.

    Raises:
        ArtifactError: it is no ONNX model, or a damaged one.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read: {error.strerror}.", remedy="Check that the file is there and readable."
        ) from error
    except DecodeError as error:
        raise ArtifactError(
            f"{path} is no ONNX model, or one that was cut off.", remedy="Export the model again."
        ) from error
    # Nothing at all, and some of what was never meant to be one, is a message without fields.
    if not (model.ir_version and model.opset_import and model.graph.output):
        raise ArtifactError(f"{path} holds no ONNX model.", remedy="Export the model again.")
    return model


def dtype(number: int) -> str:
    """What numpy calls the type with this number in ONNX, such as ``float32``."""
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(number))
    except KeyError:
        return "unknown"
