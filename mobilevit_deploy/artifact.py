"""An exported file and the manifest beside it.

``model.onnx`` has ``model.onnx.json`` beside it, which says how to feed the file, what came of its parity
check and how it was made. It is written last and atomically: an artifact without a manifest is unfinished.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mobilevit_deploy.accuracy.result import AccuracyResult
from mobilevit_deploy.errors import ArtifactError, SessionError
from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT: Literal["mobilevit-deploy/artifact"] = "mobilevit-deploy/artifact"
SCHEMA_VERSION = 3

_DEFLATE_LEVEL = 6
"""zlib's default, and that of Android's build tools."""


class TensorSpec(BaseModel):
    """One input or output of a graph; ``layout`` names the axes in order, such as ``NHWC`` or ``NC``.

    ``container`` is what an app hands over where the runtime takes no array, such as Core ML's
    ``CVPixelBuffer``; shape, dtype and layout then are those of its pixels.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    container: str = ""


@dataclass(frozen=True)
class Artifact:
    """A file (or an .mlpackage folder) on disk, and what must be known to run it."""

    path: Path
    target: str
    precision: Precision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def check_inputs(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Make sure that ``arrays`` are what the artifact takes, before a runtime reads them.

        Raises:
            SessionError: another number of arrays, another shape or another dtype.
        """
        expected = [f"{spec.dtype}{list(spec.shape)}" for spec in self.inputs]
        given = [f"{array.dtype}{list(array.shape)}" for array in arrays]
        if given != expected:
            raise SessionError(
                f"{self.path} takes {', '.join(expected)}, not {', '.join(given) or 'nothing'}.",
                remedy="Prepare the input as the artifact's manifest says.",
            )


class ModelCard(BaseModel):
    """Which model an artifact was made from.

    ``source`` is what ``--model`` was given; ``weights_sha256`` fingerprints the reference's parameters, so
    that a later check notices when ``source`` no longer holds the same model. ``preprocessing`` leads to the
    reference's own input; what an app does for the artifact may be less. ``notes`` are sentences on what the
    checkpoint does not tell and was taken as published.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    source: str
    weights_sha256: str
    config: dict[str, Any]
    preprocessing: PreprocessSpec
    notes: tuple[str, ...] = ()


class Quantization(BaseModel):
    """How an artifact that looked at pictures came to be, ``int8`` or a palette.

    ``calibration`` says at which ones; ``float_modules`` are the reference's modules that
    stay in floating point because accuracy suffered otherwise, besides what the target's recipe leaves out.
    """

    model_config = ConfigDict(frozen=True)

    calibration: str
    float_modules: tuple[str, ...] = ()


class Manifest(BaseModel):
    """Everything an app or a tool needs to know about one artifact.

    ``preprocessing`` is what the app does before it feeds the artifact. ``quantization`` is there for
    ``int8`` and palettes, ``accuracy`` for every precision of 8 bits or fewer; of others, parity tells all.
    ``compressed_bytes`` is what is downloaded: see ``compressed_size``.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    format: Literal["mobilevit-deploy/artifact"] = FORMAT
    schema_version: int = SCHEMA_VERSION
    file: str
    sha256: str
    bytes: int
    compressed_bytes: int | None = None
    target: str
    converter: str
    task: Task
    precision: Precision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: PreprocessSpec
    labels: tuple[str, ...]
    model: ModelCard
    rewrites: tuple[str, ...]
    libraries: dict[str, str]
    quantization: Quantization | None = None
    parity: ParityResult
    accuracy: AccuracyResult | None = None

    @property
    def passed(self) -> bool:
        """Whether parity is proven and accuracy holds, or the user did not want it judged."""
        return self.parity.passed and (self.accuracy is None or self.accuracy.verdict != "fail")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not pass, one plain sentence each."""
        return (*self.parity.reasons, *(self.accuracy.reasons if self.accuracy else ()))

    def artifact(self, folder: Path) -> Artifact:
        """The artifact that this manifest describes, lying in ``folder``."""
        return Artifact(folder / self.file, self.target, self.precision, self.inputs, self.outputs)


def manifest_path(artifact: Path) -> Path:
    """Where the manifest of ``artifact`` lies: the same name with ``.json`` added."""
    return artifact.with_name(artifact.name + ".json")


def read_manifest(artifact: Path) -> Manifest:
    """Read and check the manifest beside ``artifact``; the artifact itself is not opened.

    Raises:
        ArtifactError: there is none, it is not one of ours, or it is of a newer schema.
    """
    path = manifest_path(artifact)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = (
            f"{artifact} has no manifest ({path.name})"
            if artifact.exists()
            else f"There is no file {artifact}"
        )
        raise ArtifactError(
            f"{what}.", remedy="Export it with 'mobilevit-deploy export', and keep both files together."
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", remedy="Export the model again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} is not a manifest of mobilevit-deploy.", remedy="Pass the artifact, such as model.onnx."
        )
    version = content.get("schema_version")
    if isinstance(version, int) and version != SCHEMA_VERSION:
        upgrade = "Upgrade with 'pip install --upgrade mobilevit-deploy', or export the model again."
        raise ArtifactError(
            f"{path} has schema version {version}; this mobilevit-deploy reads version {SCHEMA_VERSION}.",
            remedy=upgrade if version > SCHEMA_VERSION else "Export the model again.",
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{path} is damaged at '{where}': {first['msg']}.", remedy="Export the model again."
        ) from error
    # The name comes from a file; it must not lead out of the manifest's folder.
    if manifest.file != artifact.name:
        raise ArtifactError(
            f"{path} describes '{manifest.file}', not '{artifact.name}'.",
            remedy="Rename the artifact back, or export the model again.",
        )
    return manifest


def open_artifact(path: Path) -> tuple[Artifact, Manifest]:
    """Read the manifest and check that the artifact is, byte for byte, the one that was exported.

    Raises:
        ArtifactError: manifest or artifact missing, or the artifact changed since export.
    """
    manifest = read_manifest(path)
    if not path.exists():
        raise ArtifactError(f"There is no file {path}.", remedy="Export the model again.")
    actual = digest(path)
    if actual != manifest.sha256:
        raise ArtifactError(
            f"{path} changed after export: its sha256 starts with {actual[:12]}, "
            f"the manifest's with {manifest.sha256[:12]}.",
            remedy="Export the model again, or restore the file.",
        )
    return manifest.artifact(path.parent), manifest


def to_layout(array: NDArray[Any], source: str, wanted: str) -> NDArray[Any]:
    """Transpose ``array`` from axes ``source`` to ``wanted``, such as ``NCHW`` to ``NHWC``; contiguous."""
    import numpy as np

    return np.ascontiguousarray(array.transpose([source.index(axis) for axis in wanted]))


def digest(path: Path) -> str:
    """Sha256 in hex of a file, or of a folder's files with their relative names in sorted order."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in _files(path):
        name = file.relative_to(path).as_posix().encode()
        total.update(len(name).to_bytes(8, "big") + name + bytes.fromhex(digest(file)))
    return total.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def compressed_size(path: Path) -> int:
    """Bytes after deflate, file by file: what an artifact adds to the download of an app.

    APKs and IPAs are zip archives. One that is stored in them uncompressed, so that it can be mapped into
    memory (``noCompress "tflite"``), is compressed by the store on the way all the same.
    """
    return sum(_deflated(file) for file in _files(path))


def _deflated(file: Path) -> int:
    packer, total = zlib.compressobj(_DEFLATE_LEVEL), 0
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            total += len(packer.compress(block))
    return total + len(packer.flush())


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
