"""From a PyTorch graph to a .tflite file on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.artifact import TensorSpec, to_layout
from mobilevit_deploy.conversion import conversion

from .metadata import add_metadata, pack_labels
from .names import short
from .quantize import quantized
from .versions import declare_versions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from mobilevit_deploy.target import ExportOptions, GraphSpec

_SIGNATURE = "serving_default"

_IDENTIFIER = b"TFL3"
"""Of a .tflite file."""


def write_tflite(graph: nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> None:
    """Write ``graph`` as one file with a signature of named input and output, that says what it is.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: names and shapes; those of the file's own tensors are ``channels_last``.
        options: precision and converter.
        out: file to be made.

    Raises:
        ExportError: the converter refused the graph.
        TargetError: the converter needs tensorflow, which is not installed.
        OSError: the disk did.
    """
    content = _converted(graph, spec, options)
    with conversion("the converted graph could not be finished"):
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
        given, wanted = channels_last(spec.input), channels_last(spec.output)
        _tidy(model, given.name, wanted.name)
        declare_versions(model)
        add_metadata(model, spec.card, given, wanted, converter=options.converter)
        content = _packed(model)
    out.write_bytes(pack_labels(content, spec.card.labels))


def channels_last(spec: TensorSpec) -> TensorSpec:
    """The NHWC form of an NCHW tensor; others stay as they are."""
    if spec.layout != "NCHW":
        return spec
    n, c, h, w = spec.shape
    return spec.model_copy(update={"shape": (n, h, w, c), "layout": "NHWC"})


def _converted(graph: nn.Module, spec: GraphSpec, options: ExportOptions) -> bytes:
    if options.converter.startswith("keras"):
        from .from_keras import convert

        return convert(graph, spec, options)
    from .from_torch import convert as convert_torch

    content = convert_torch(graph, spec)
    given, own = spec.input.layout, channels_last(spec.input).layout
    pictures = (
        [to_layout(array, given, own) for array in options.calibration.inputs] if options.calibration else []
    )
    return quantized(content, options.precision, pictures, options.float_modules)


def _tidy(model: Any, given: str, wanted: str) -> None:
    """Gives input and output their names, and a signature with these; takes out what no one reads."""
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        tensor.name = short(tensor.name)
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    signature = schema.SignatureDefT()
    signature.signatureKey = _SIGNATURE
    signature.inputs = _ends(graph, graph.inputs, given)
    signature.outputs = _ends(graph, graph.outputs, wanted)
    model.signatureDefs = [signature]


class _SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """Writes equal vectors and equal names once: shapes, zero points, layers; 8 % of an 8-bit file."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, bytes], int] = {}
        self._names: dict[str | bytes, int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802 - flatbuffers' own name
        """Where the vector lies."""
        content = (x.dtype.str, x.tobytes())
        if content not in self._places:
            self._places[content] = super().CreateNumpyVector(x)
        return self._places[content]

    def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        """Where the text lies."""
        if s not in self._names:
            self._names[s] = super().CreateString(s, encoding, errors)
        return self._names[s]


def _packed(model: Any) -> bytes:
    builder = _SharingBuilder()
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _ends(graph: Any, places: Any, name: str) -> list[Any]:
    (place,) = places
    end = schema.TensorMapT()
    end.tensorIndex, end.name = place, name
    graph.tensors[place].name = name
    return [end]
