"""ONNX: written by torch's exporter, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import Availability, ExportOptions, GraphSpec, Session, installed

if TYPE_CHECKING:
    import torch

    from mobilevit_deploy.artifact import Artifact
    from mobilevit_deploy.description import Description
    from mobilevit_deploy.inspection import Inspection

INT8 = tolerance.Tolerance(
    min_sqnr_db=9.0, min_extremes_sqnr_db=0.0, min_top1=0.85, min_pixels=0.96, tie=5e-2
)
"""A black picture's rounding errors are alike everywhere and add up: 7.8 dB, where drawn ones have 25 dB."""

INT8_WEIGHTS = tolerance.Tolerance(
    min_sqnr_db=20.0, min_extremes_sqnr_db=18.0, min_top1=0.9, min_pixels=0.98, tie=2e-2
)
"""Weights alone are rounded, or also what linear layers read, in ranges of its own: 22 dB at the worst."""


class OnnxTarget:
    """Writes one self-contained .onnx file."""

    name = "onnx"
    suffix = ".onnx"
    extra = "onnx"
    libraries = ("onnx", "onnxscript", "onnxruntime", "torch")
    converters = ("torch.onnx",)
    precisions = MappingProxyType(
        {
            Precision.FP32: tolerance.FP32,
            Precision.FP16: tolerance.FP16,
            Precision.INT8: INT8,
            Precision.INT8_DYNAMIC: INT8_WEIGHTS,
            Precision.INT8_WEIGHTS: INT8_WEIGHTS,
        }
    )

    def availability(self) -> Availability:
        """Usable wherever its libraries are installed."""
        return installed(self.libraries, extra=self.extra, engine="onnxruntime")

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:  # noqa: ARG002
        """What its converter and its runtime gain by."""
        # torch's exporter folds BatchNorm by itself; done before, there is less to convert. ONNX Runtime has
        # fast kernels for LayerNorm and 4-D attention: written otherwise, the graph is up to 5 % slower. It
        # is 15 % faster with patches cut in four dimensions and tokens in one matrix.
        return (
            "fold_batch_norm",
            "remove_dropout",
            "fold_query_scale",
            "patches_in_four_dimensions",
            "tokens_as_matrix",
            "add_pooled_branch",
        )

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        """Write ``graph`` to ``out``, with the input and the output that it has.

        Raises:
            ExportError: torch.onnx refused the graph, or wrote one that onnx.checker refuses.
        """
        from mobilevit_deploy.artifact import Artifact

        from .export import write_onnx

        write_onnx(graph, spec, options, out)
        return Artifact(out, self.name, options.precision, (spec.input,), (spec.output,))

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> Session:
        """Load the file into ONNX Runtime, on the CPU.

        Raises:
            SessionError: ONNX Runtime refused the file, or it is not what ``artifact`` says.
        """
        from .session import OnnxSession

        return OnnxSession(artifact, threads=threads)

    def describe(self, path: Path) -> Description:
        """Read what a file says about itself.

        Raises:
            ArtifactError: it is no ONNX model, or a damaged one.
        """
        from .describe import describe_model

        return describe_model(path)

    def inspect(self, path: Path) -> Inspection:
        """Count operators, and ask ONNX Runtime which its execution providers take.

        Raises:
            ArtifactError: it is no ONNX model, or a damaged one.
        """
        from .inspect import inspect_model

        return inspect_model(path)
