"""TensorFlow Lite: written by litert-torch or by TensorFlow's own converter, run by LiteRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import Availability, ExportOptions, GraphSpec, Session, installed

if TYPE_CHECKING:
    import torch

    from mobilevit_deploy.artifact import Artifact
    from mobilevit_deploy.description import Description
    from mobilevit_deploy.inspection import Inspection

_LITERT_TORCH = "litert-torch"
_LITERT_TORCH_GPU = "litert-torch-gpu"
"""The same with tokens laid out for GPU delegates."""

_KERAS = "keras"
_KERAS_WITH_TF_OPS = "keras-select-tf-ops"

_INT8_DYNAMIC = tolerance.Tolerance(
    min_sqnr_db=20.0, min_extremes_sqnr_db=12.0, min_top1=0.9, min_pixels=0.99, tie=2e-2
)
_INT8 = tolerance.Tolerance(
    min_sqnr_db=6.0, min_extremes_sqnr_db=0.0, min_top1=0.85, min_pixels=0.98, tie=5e-2
)
"""Measured: see README.md."""


class TfliteTarget:
    """Writes one .tflite file, with its picture in NHWC layout."""

    name = "tflite"
    suffix = ".tflite"
    extra = "tflite"
    libraries = ("litert-torch", "ai-edge-litert", "torch")
    converters = (_LITERT_TORCH, _LITERT_TORCH_GPU, _KERAS, _KERAS_WITH_TF_OPS)
    precisions = MappingProxyType(
        {
            Precision.FP32: tolerance.FP32,
            Precision.FP16: tolerance.FP16,
            Precision.INT8: _INT8,
            Precision.INT8_DYNAMIC: _INT8_DYNAMIC,
        }
    )

    def availability(self) -> Availability:
        """Usable wherever its libraries are installed; tensorflow, for ``keras``, is looked for at export."""
        return installed(self.libraries, extra=self.extra, engine="litert")

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:
        """What its converter and its runtime gain by."""
        if self._converter(options) in {_KERAS, _KERAS_WITH_TF_OPS}:
            return ()  # the Keras twin is built from the reference as it is, and is fast by construction
        # litert-torch folds BatchNorm by itself; done before, there is less to convert. LiteRT runs the whole
        # graph in one XNNPACK delegate as it is: other rewrites for speed gain less than 2 %. Delegates for
        # GPUs take four axes, and some of them no first axis but 1.
        layout = (
            ("tokens_as_rows",)
            if self._converter(options) == _LITERT_TORCH_GPU
            else ("patches_in_four_dimensions", "tokens_as_matrix")
        )
        return (
            "fold_batch_norm",
            "remove_dropout",
            "fold_query_scale",
            "fold_layer_norm_affine",
            *layout,
            *(("centre_values",) if options.precision == Precision.INT8 else ()),
            "add_pooled_branch",
        )

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        """Write ``graph`` to ``out``, its feature maps turned from NCHW to NHWC.

        Raises:
            ExportError: the converter refused the graph.
            TargetError: the converter needs tensorflow, which is not installed.
        """
        from mobilevit_deploy.artifact import Artifact

        from .export import channels_last, write_tflite

        if self._converter(options) == _LITERT_TORCH_GPU and options.precision == Precision.INT8:
            raise ExportError(
                f"The converter '{_LITERT_TORCH_GPU}' does not write int8, which is made for CPUs.",
                remedy="Leave out --converter, or take --precision fp16.",
            )
        write_tflite(graph, spec, replace(options, converter=self._converter(options)), out)
        given, wanted = channels_last(spec.input), channels_last(spec.output)
        return Artifact(out, self.name, options.precision, (given,), (wanted,))

    def _converter(self, options: ExportOptions) -> str:
        return options.converter or self.converters[0]

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> Session:
        """Load the file into LiteRT's interpreter, on the CPU.

        Raises:
            SessionError: LiteRT refused the file, or it is not what ``artifact`` says.
        """
        from .session import TfliteSession

        return TfliteSession(artifact, threads=threads)

    def describe(self, path: Path) -> Description:
        """Read signature, metadata, packed labels and card of a file.

        Raises:
            ArtifactError: it is truncated, or no .tflite file.
        """
        from .describe import describe_tflite

        return describe_tflite(path)

    def inspect(self, path: Path) -> Inspection:
        """Count operators, and ask XNNPACK and the GPU delegate's rules what they take.

        Raises:
            ArtifactError: it is truncated, or no .tflite file.
        """
        from .inspect import inspect_tflite

        return inspect_tflite(path)
