"""From a PyTorch graph to an .onnx file on disk."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from mobilevit_deploy.conversion import conversion

from .compact import compact
from .metadata import write_metadata
from .quantize import in_precision

if TYPE_CHECKING:
    from mobilevit_deploy.target import ExportOptions, GraphSpec

OPSET = 18
"""What torch's exporter writes by itself; it reaches any other through a version converter. Everything in
MobileViT has an operator there, LayerNormalization included, and runtimes have known it since 2022."""

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch notes the modules around each node, the outermost first, and last the operator of PyTorch."""


def write_onnx(graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> None:
    """Write ``graph`` as one file that holds its weights.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: names and shapes, and what the file says about itself.
        options: the precision, and what to find its ranges on.
        out: file to be made.

    Raises:
        ExportError: torch.onnx refused the graph, ONNX Runtime to quantise it, or onnx.checker the outcome.
        OSError: the disk did.
    """
    with conversion("torch.onnx could not convert the graph"):
        converted = _converted(graph, spec)
        modules = _modules(converted)
        # Each node carries the source lines that it came from: a quarter of the file, and local paths.
        ClearMetadataAndDocStringPass()(converted)
    with conversion(f"ONNX Runtime could not write the graph in {options.precision}"):
        model = ir.from_proto(in_precision(ir.to_proto(converted), options, modules, out.parent))
        model.graph.sort()  # the converter to fp16 appends its first node
        compact(model)
        write_metadata(model, spec)
        file = ir.to_proto(model)
        if options.precision.quantised:
            del file.graph.value_info[:]  # every tensor's shape, which readers infer: a tenth of a small file
    onnx.save(file, out)
    with conversion("onnx.checker refuses the converted graph"):
        onnx.checker.check_model(out, full_check=True)


def _converted(graph: torch.nn.Module, spec: GraphSpec) -> ir.Model:
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
    _name_as_checkpoint(program.model.graph.initializers.values())
    return program.model


def _name_as_checkpoint(weights: Iterable[ir.Value]) -> None:
    """Take from the weights' names what a deploy graph put around the model."""
    for weight in list(weights):
        weight.name = (weight.name or "").removeprefix("tensor_graph.").removeprefix("model.")


def _modules(model: ir.Model) -> dict[str, str]:
    """The module that each node comes from, such as ``model.mobilevit.conv_stem``, by the node's name."""
    found = {}
    for node in model.graph:
        *modules, _ = ast.literal_eval(node.metadata_props.get(_SCOPES, "['', '']"))
        found[node.name or ""] = modules[-1]
    return found
