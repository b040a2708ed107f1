"""transformers' model through ExecuTorch's XNNPACK recipe, as its backend's page has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.inputs import example, transformers_model


class ExecutorchXnnpack:
    name = "ExecuTorch XNNPACK"
    runtime = "executorch"
    precision = "fp32"
    libraries = ("executorch", "torchao", "transformers", "torch")

    def export(self, checkpoint: Path, out: Path) -> None:
        import torch

        lower(torch.export.export(transformers_model(checkpoint), example()), out)


def lower(program: Any, out: Path) -> None:
    """Write an exported program as a .pte file."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    with out.open("wb") as file:
        lowered.to_executorch().write_to_file(file)


PEER = ExecutorchXnnpack()
