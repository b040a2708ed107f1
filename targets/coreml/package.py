"""Reading an .mlpackage without changing it.

``coremltools.utils.load_spec`` rewrites Manifest.json each time it opens a package. A check must not write to
what it checks, and the format is simple enough to be read directly.

    NAME.mlpackage/Manifest.json                              which item is the model
    NAME.mlpackage/Data/com.apple.CoreML/model.mlmodel        protobuf: the program, small constants
    NAME.mlpackage/Data/com.apple.CoreML/weights/weight.bin   large constants, by offset
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import SessionError

from .toolkit import load_coremltools, quiet

DATA = Path("Data")
MODEL_FILE = DATA / "com.apple.CoreML" / "model.mlmodel"
"""Where coremltools puts the program."""


def read_function(package: Path) -> Any:
    """The MIL function that a package holds, with its weights, as coremltools' in-memory representation.

    Raises:
        SessionError: files are missing, truncated or not what they should be.
    """
    try:
        return _parse(package)
    except Exception as error:  # a damaged file can fail anywhere in protobuf, the MIL builder or native code
        raise SessionError(
            f"{package} cannot be read as a Core ML package: {type(error).__name__}: {error}.",
            remedy="Export the model again.",
        ) from error


def _parse(package: Path) -> Any:
    ct = load_coremltools()
    with quiet():
        from coremltools.converters.mil.frontend.milproto.load import load

        model = _model_file(package)
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString(model.read_bytes())
        program = load(
            spec,
            specification_version=spec.specificationVersion,
            file_weights_dir=str(model.parent / "weights"),
        )
        return program.functions["main"]


def _model_file(package: Path) -> Path:
    manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
    item = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    data = (package / DATA).resolve()
    file: Path = (data / item["path"]).resolve()
    if not file.is_relative_to(data):
        raise ValueError(f"Manifest.json points outside the package: {item['path']}")
    return file
