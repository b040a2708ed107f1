"""From a PyTorch graph to a .tflite file on disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ai_edge_litert.tools import flatbuffer_utils
from torch import Tensor, nn

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.conversion import conversion

if TYPE_CHECKING:
    from mobilevit_deploy.target import GraphSpec

_CLASS_OF_MODULE = re.compile(rb"(?:\w+\.)+(?:\w*?_(?=[a-z0-9])|\w+/)")
"""In litert-torch's names, all but ``query`` of ``torch.nn.modules.linear.Linear_query``, and the outermost
module, which has a class alone."""


def write_tflite(graph: nn.Module, spec: GraphSpec, out: Path) -> None:
    """Write ``graph`` as one file with a signature of named input and output.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: names and shapes; the file's own input is ``channels_last(spec.input)``.
        out: file to be made.

    Raises:
        ExportError: litert-torch refused the graph.
        OSError: the disk did.
    """
    example = {spec.input.name: torch.zeros(channels_last(spec.input).shape)}
    with conversion("litert-torch could not convert the graph"):
        import litert_torch  # here, since importing it warns

        litert_torch.config.show_progress = False
        model = litert_torch.convert(_ChannelsLast(graph, spec.output.name).eval(), sample_kwargs=example)
        content = _renamed(model.model_content())
    out.write_bytes(content)


def channels_last(spec: TensorSpec) -> TensorSpec:
    """The NHWC form of an NCHW tensor."""
    n, c, h, w = spec.shape
    return spec.model_copy(update={"shape": (n, h, w, c), "layout": "NHWC"})


class _ChannelsLast(nn.Module):
    """Takes NHWC, names the output.

    LiteRT's convolutions read NHWC, and a picture is stored so; the converter then cancels this permutation
    against the one before the first convolution.
    """

    def __init__(self, graph: nn.Module, output: str) -> None:
        super().__init__()
        self.model = graph  # torch's own GraphModule, which this becomes, keeps something else in `graph`
        self.output = output

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """[b, h, w, c] -> what the graph gives."""
        return {self.output: self.model(pixel_values.permute(0, 3, 1, 2))}


def _renamed(content: bytes) -> bytes:
    """Gives inputs and outputs their signature's names, and shortens all others.

    litert-torch names a tensor by the full path of classes and modules that it came from: 13 % of the file.
    """
    model = flatbuffer_utils.read_model_from_bytearray(content)
    (graph,) = model.subgraphs
    (signature,) = model.signatureDefs
    for tensor in graph.tensors:
        tensor.name = _CLASS_OF_MODULE.sub(b"", tensor.name)
    for end in (*signature.inputs, *signature.outputs):
        graph.tensors[end.tensorIndex].name = end.name
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
