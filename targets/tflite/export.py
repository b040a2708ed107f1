"""From a PyTorch graph to a .tflite file on disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.conversion import conversion
from mobilevit_deploy.quantize import Precision

from .metadata import add_metadata, pack_labels

if TYPE_CHECKING:
    from torch import nn

    from mobilevit_deploy.target import ExportOptions, GraphSpec

_CLASS_OF_MODULE = re.compile(rb"(?:\w+\.)+(?:\w*?_(?=[a-z0-9])|\w+/)")
"""In litert-torch's names, all but ``query`` of ``torch.nn.modules.linear.Linear_query``, and the outermost
module, which has a class alone."""


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
        _rename(model, given.name, wanted.name)
        add_metadata(model, spec.card, given, wanted, converter=options.converter)
        content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
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
    return _quantized(content) if options.precision == Precision.INT8_DYNAMIC else content


def _quantized(content: bytes) -> bytes:
    """Weights of every layer in 8 bits a channel, multiplied with activations quantised on the fly."""
    with conversion("ai-edge-quantizer could not quantise the graph"):
        from ai_edge_quantizer import quantizer, recipe

        model = quantizer.Quantizer(bytearray(content), recipe.dynamic_wi8_afp32())
        return bytes(model.quantize().quantized_model)


def _rename(model: Any, given: str, wanted: str) -> None:
    """Gives input and output their names, in the signature too, and shortens all others.

    litert-torch names a tensor by the full path of classes and modules that it came from: 13 % of the file.
    TensorFlow joins the names of all that it fused into one.
    """
    (graph,) = model.subgraphs
    (signature,) = model.signatureDefs
    for tensor in graph.tensors:
        tensor.name = _CLASS_OF_MODULE.sub(b"", tensor.name).split(b";")[0]
    for (end,), name in ((signature.inputs, given), (signature.outputs, wanted)):
        end.name = graph.tensors[end.tensorIndex].name = name.encode()
