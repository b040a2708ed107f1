"""Reading an .mlpackage without changing it.

``coremltools.utils.load_spec`` rewrites Manifest.json each time it opens a package. A check must not write to
what it checks, and the format is simple enough to be read directly.

    NAME.mlpackage/Manifest.json                              which item is the model
    NAME.mlpackage/Data/com.apple.CoreML/model.mlmodel        protobuf: the program, small constants
    NAME.mlpackage/Data/com.apple.CoreML/weights/weight.bin   large constants, by offset
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import SessionError

from .toolkit import load_coremltools, quiet

DATA = Path("Data")
MODEL_FILE = DATA / "com.apple.CoreML" / "model.mlmodel"
"""Where coremltools puts the program."""


@dataclass(frozen=True)
class Package:
    """What a package holds.

    Attributes:
        description: protobuf ``ModelDescription``: what an app sees.
        specification_version: which systems can read it; 7 is iOS 16.
        function: the MIL function ``main`` with its weights, as coremltools' in-memory representation.
    """

    description: Any
    specification_version: int
    function: Any


def read_package(path: Path) -> Package:
    """Read a package from disk, completely.

    Raises:
        SessionError: files are missing, truncated or not what they should be.
    """
    try:
        return _parse(path)
    except Exception as error:  # a damaged file can fail anywhere in protobuf, the MIL builder or native code
        raise SessionError(
            f"{path} cannot be read as a Core ML package: {type(error).__name__}: {error}.",
            remedy="Export the model again.",
        ) from error


def _parse(path: Path) -> Package:
    ct = load_coremltools()
    with quiet():
        from coremltools.converters.mil.frontend.milproto.load import load

        model = _model_file(path)
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString(model.read_bytes())
        kind = spec.WhichOneof("Type")
        if kind != "mlProgram":
            raise ValueError(f"it holds {kind or 'no model'}, not an ML program")
        program = load(
            spec,
            specification_version=spec.specificationVersion,
            file_weights_dir=str(model.parent / "weights"),
        )
        return Package(spec.description, spec.specificationVersion, program.functions["main"])


def _model_file(package: Path) -> Path:
    manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
    item = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    data = (package / DATA).resolve()
    file: Path = (data / item["path"]).resolve()
    if not file.is_relative_to(data):
        raise ValueError(f"Manifest.json points outside the package: {item['path']}")
    return file
