"""Core ML: an ML program for iOS 16 and later, run by Core ML on a Mac and by our interpreter elsewhere."""

from __future__ import annotations

import platform
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

_COREMLTOOLS = "coremltools"
_NEURAL_ENGINE = "coremltools-neural-engine"
"""The same program with its transformers in the layout of Apple's Neural Engine."""

_INT8_WEIGHTS = tolerance.Tolerance(min_sqnr_db=20.0, min_top1=0.95, min_pixels=0.99, tie=2e-2)
_PALETTE = tolerance.Tolerance(min_sqnr_db=12.0, min_top1=0.9, min_pixels=0.98, tie=5e-2)
_INT8 = tolerance.Tolerance(
    min_sqnr_db=15.0, min_extremes_sqnr_db=0.0, min_top1=0.9, min_pixels=0.98, tie=5e-2
)
"""Below what was seen on the bundled models, at 96 and 256 pixels, with either input; see the README."""


class CoremlTarget:
    """Writes an .mlpackage with coremltools."""

    name = "coreml"
    suffix = ".mlpackage"
    extra = "coreml"
    libraries = ("coremltools", "torch")
    converters = (_COREMLTOOLS, _NEURAL_ENGINE)
    precisions = MappingProxyType(
        {
            Precision.FP32: tolerance.FP32,
            Precision.FP16: tolerance.FP16,
            Precision.INT8: _INT8,
            Precision.INT8_WEIGHTS: _INT8_WEIGHTS,
            Precision.PALETTE6: _PALETTE,
            Precision.PALETTE4: _PALETTE,
        }
    )

    def availability(self) -> Availability:
        """Usable wherever coremltools converts: macOS and Linux."""
        engine = "coreml" if runs_core_ml() else "mil-interpreter"
        if platform.system() == "Windows":
            return Availability(
                usable=False,
                engine=engine,
                reason="coremltools has no native library for Windows",
                remedy="Export under WSL, on Linux or on a Mac.",
            )
        return installed(self.libraries, extra=self.extra, engine=engine)

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:
        """What its converter and its runtime gain by."""
        # coremltools folds BatchNorm too, but slowly: done before, conversion takes a sixth less time. The
        # scale of the query it leaves in the graph, as a multiplication of every attention's scores.
        # Core ML takes tensors of five axes, and slowly.
        layout = (
            ("fold_layer_norm_affine", "tokens_as_map")
            if options.converter == _NEURAL_ENGINE
            else ("patches_in_four_dimensions",)
        )
        return ("fold_batch_norm", "fold_query_scale", *layout, "add_pooled_branch")

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        """Write ``graph`` as an .mlpackage at ``out``.

        A picture goes in as a pixel buffer. A classifier also gives ``classLabel`` and ``classLabel_probs``,
        by Core ML's convention; the artifact declares what is compared with the reference.

        Raises:
            ExportError: coremltools refused the graph.
        """
        from mobilevit_deploy.artifact import Artifact

        from .export import write_package
        from .metadata import PIXEL_BUFFER

        write_package(graph, spec, options, out)
        given = spec.input.model_copy(update={"container": PIXEL_BUFFER}) if spec.takes_image else spec.input
        return Artifact(out, self.name, options.precision, (given,), (spec.output,))

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> Session:  # noqa: ARG002
        """Load the package into Core ML on a Mac, into the interpreter elsewhere.

        ``threads`` has no effect: Core ML schedules by itself, and the interpreter is not for measuring.

        Raises:
            SessionError: the package cannot be read or run.
        """
        from .session import CoremlSession, InterpreterSession

        return CoremlSession(artifact) if runs_core_ml() else InterpreterSession(artifact)

    def describe(self, path: Path) -> Description:
        """Read what a package says about itself.

        Raises:
            ArtifactError: it cannot be read as an ML program.
        """
        from .describe import describe_package

        return describe_package(path)

    def inspect(self, path: Path) -> Inspection:
        """Count operations, and judge them by what is known of the Neural Engine.

        Raises:
            ArtifactError: it cannot be read as an ML program.
        """
        from .inspect import inspect_package

        return inspect_package(path)


def runs_core_ml() -> bool:
    """Whether this machine has Core ML itself."""
    return platform.system() == "Darwin"
