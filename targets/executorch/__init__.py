"""ExecuTorch: lowered to XNNPACK as a whole, run by ExecuTorch's runtime."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.parity.tolerance import Tolerance
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import Availability, ExportOptions, GraphSpec, Session, installed

if TYPE_CHECKING:
    import torch

    from mobilevit_deploy.artifact import Artifact
    from mobilevit_deploy.description import Description
    from mobilevit_deploy.inspection import Inspection

TORCH_OF_EXECUTORCH = {"1.4": "2.13"}
"""ExecuTorch's Python runtime is built against one torch release, and its metadata do not pin it."""


INT8 = Tolerance(min_sqnr_db=6.0, min_extremes_sqnr_db=0.0, min_top1=0.85, min_pixels=0.95, tie=5e-2)
INT8_DYNAMIC = Tolerance(min_sqnr_db=25.0, min_pixels=0.98, tie=2e-2)


class ExecutorchTarget:
    """Writes one .pte file that holds its weights."""

    name = "executorch"
    suffix = ".pte"
    extra = "executorch"
    libraries = ("executorch", "torch")
    converters = ("executorch",)
    precisions = MappingProxyType(
        {
            Precision.FP32: tolerance.FP32,
            Precision.FP16: tolerance.FP16,
            Precision.INT8: INT8,
            Precision.INT8_DYNAMIC: INT8_DYNAMIC,
        }
    )

    def availability(self) -> Availability:
        """Usable where ExecuTorch is installed with the torch that it was built against."""
        here = installed(self.libraries, extra=self.extra, engine="executorch")
        if not here.usable:
            return here
        return _paired(executorch=version("executorch"), torch=version("torch"))

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:  # noqa: ARG002
        """What its converter and its runtime gain by."""
        # With these, XNNPACK takes the graph as one piece. Without, it takes 40, with portable (slow)
        # operators and copies between them.
        return (
            "fold_batch_norm",
            "remove_dropout",
            "fold_query_scale",
            "attention_bmm",
            "fold_layer_norm_affine",
            "layer_norm_as_linear",
            "silu_as_product",
            "pool_keeping_dims",
            "patches_in_four_dimensions",
            "add_pooled_branch",
        )

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        """Write ``graph`` to ``out``, with the input and the output that it has.

        Raises:
            ExportError: ExecuTorch refused the graph.
        """
        from mobilevit_deploy.artifact import Artifact

        from .export import write_pte

        write_pte(graph, spec, options, out)
        return Artifact(out, self.name, options.precision, (spec.input,), (spec.output,))

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> Session:
        """Load the file into ExecuTorch's runtime, which has one thread pool for the whole process.

        Raises:
            SessionError: the runtime refused the file, it is not what ``artifact`` says, or a session with
                another number of threads is open.
        """
        from .session import ExecutorchSession

        return ExecutorchSession(artifact, threads=threads)

    def describe(self, path: Path) -> Description:
        """Read what a file says about itself; no runtime opens it.

        Raises:
            ArtifactError: it is no ExecuTorch program, or a damaged one.
        """
        from .describe import describe_program

        return describe_program(path)

    def inspect(self, path: Path) -> Inspection:
        """Count operators inside of XNNPACK and outside; no runtime opens the file.

        Raises:
            ArtifactError: it is no ExecuTorch program, or a damaged one.
        """
        from .inspect import inspect_program

        return inspect_program(path)


def _paired(*, executorch: str, torch: str) -> Availability:
    engine = f"executorch {executorch} xnnpack"
    wanted = TORCH_OF_EXECUTORCH.get(_release(executorch))
    if wanted is None:
        return Availability(
            usable=False,
            engine=engine,
            reason=f"executorch {executorch} is installed, and {', '.join(TORCH_OF_EXECUTORCH)} is needed",
            remedy="pip install 'mobilevit-deploy[executorch]'",
        )
    if _release(torch) != wanted:
        return Availability(
            usable=False,
            engine=engine,
            reason=f"executorch {executorch} is built against torch {wanted}, and torch is {torch}",
            remedy=f"pip install 'torch~={wanted}.0'",
        )
    return Availability(usable=True, engine=engine)


def _release(full: str) -> str:
    """``2.13`` of ``2.13.0+cpu``."""
    return ".".join(full.split(".")[:2])
