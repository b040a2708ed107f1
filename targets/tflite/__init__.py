"""TensorFlow Lite: written by litert-torch, run by LiteRT."""

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


class TfliteTarget:
    """Writes one .tflite file, with its picture in NHWC layout."""

    name = "tflite"
    suffix = ".tflite"
    extra = "tflite"
    libraries = ("litert-torch", "ai-edge-litert", "torch")
    converters = ("litert-torch",)
    precisions = MappingProxyType({Precision.FP32: tolerance.FP32})

    def availability(self) -> Availability:
        """Usable wherever its libraries are installed."""
        return installed(self.libraries, extra=self.extra, engine="litert")

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:  # noqa: ARG002
        """What its converter and its runtime gain by."""
        # litert-torch folds BatchNorm by itself; done before, there is less to convert. LiteRT runs the whole
        # graph in one XNNPACK delegate as it is: the other rewrites change its speed by less than 2 %.
        return ("fold_batch_norm", "remove_dropout", "fold_query_scale")

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        """Write ``graph`` to ``out``, its input turned from NCHW to NHWC.

        Raises:
            ExportError: litert-torch refused the graph.
        """
        from mobilevit_deploy.artifact import Artifact

        from .export import channels_last, write_tflite

        write_tflite(graph, spec, out)
        return Artifact(out, self.name, options.precision, (channels_last(spec.input),), (spec.output,))

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> Session:
        """Load the file into LiteRT's interpreter, on the CPU.

        Raises:
            SessionError: LiteRT refused the file, or it is not what ``artifact`` says.
        """
        from .session import TfliteSession

        return TfliteSession(artifact, threads=threads)
