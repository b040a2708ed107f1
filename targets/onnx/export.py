"""From a PyTorch graph to an .onnx file on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from mobilevit_deploy.conversion import conversion

from .metadata import write_metadata

if TYPE_CHECKING:
    from mobilevit_deploy.target import GraphSpec

OPSET = 18
"""What torch's exporter writes by itself; it reaches any other through a version converter. Everything in
MobileViT has an operator there, LayerNormalization included, and runtimes have known it since 2022."""


def write_onnx(graph: torch.nn.Module, spec: GraphSpec, out: Path) -> None:
    """Write ``graph`` as one file that holds its weights.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: names and shapes, and what the file says about itself.
        out: file to be made.

    Raises:
        ExportError: torch.onnx refused the graph, or wrote one that onnx.checker refuses.
        OSError: the disk did.
    """
    with conversion("torch.onnx could not convert the graph"):
        program = torch.onnx.export(
            graph,
            (spec.example(),),
            input_names=[spec.input.name],
            output_names=[spec.output.name],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # it is, unless torch.onnx is given a file name
        # Each node carries the source lines that it came from: a quarter of the file, and local paths.
        ClearMetadataAndDocStringPass()(program.model)
        write_metadata(program.model, spec)
    program.save(out, external_data=False)
    with conversion("onnx.checker refuses the converted graph"):
        onnx.checker.check_model(out, full_check=True)
