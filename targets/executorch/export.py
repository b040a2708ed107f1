"""From a PyTorch graph to a .pte file on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mobilevit_deploy.conversion import conversion

from .metadata import constant_methods

if TYPE_CHECKING:
    from mobilevit_deploy.target import GraphSpec


def write_pte(graph: torch.nn.Module, spec: GraphSpec, out: Path) -> None:
    """Write ``graph``, lowered to XNNPACK, as one file that holds its weights.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: shapes, and what the file says about itself; a .pte keeps no names.
        out: file to be made.

    Raises:
        ExportError: ExecuTorch refused the graph.
        OSError: the disk did.
    """
    with conversion("ExecuTorch could not lower the graph"):
        # Here, since importing them takes seconds and warns.
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        with torch.no_grad():
            exported = torch.export.export(graph, (spec.example(),))
        # What XNNPACK does not take stays in the graph, for ExecuTorch's portable (slow) operators.
        lowered = to_edge_transform_and_lower(
            exported, partitioner=[XnnpackPartitioner()], constant_methods=constant_methods(spec.card)
        )
        program = lowered.to_executorch()
    with out.open("wb") as file:
        program.write_to_file(file)
