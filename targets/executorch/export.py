"""From a PyTorch graph to a .pte file on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.conversion import conversion

from .metadata import constant_methods

if TYPE_CHECKING:
    import torch

    from mobilevit_deploy.target import ExportOptions, GraphSpec


def write_pte(graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> None:
    """Write ``graph``, lowered to XNNPACK, as one file that holds its weights.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: shapes, and what the file says about itself; a .pte keeps no names.
        options: the precision, and what it needs.
        out: file to be made.

    Raises:
        ExportError: ExecuTorch refused the graph.
        OSError: the disk did.
    """
    with conversion("ExecuTorch could not lower the graph"):
        # Here, since importing them takes seconds and warns.
        from .lowering import lower
        from .quantize import exported

        program = lower(exported(graph, spec, options), constant_methods(spec.card))
    with out.open("wb") as file:
        program.write_to_file(file)
