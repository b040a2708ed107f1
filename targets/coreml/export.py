"""From a PyTorch graph to an .mlpackage on disk."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilevit_deploy.conversion import conversion
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.task import Task

from .classifier import make_classifier
from .compact import compact
from .metadata import write_metadata
from .package import MODEL_FILE
from .quantize import encode, prepare
from .toolkit import load_coremltools, quiet, unvalidated

if TYPE_CHECKING:
    from mobilevit_deploy.target import ExportOptions, GraphSpec

_LEVELS = 256
_PROBABILITIES = "probabilities"


def write_package(graph: nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> None:
    """Write ``graph`` as an ML program, for the oldest system that can run it.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: what it takes and gives, and what the package says about itself.
        options: its precision is that of weights and activations; inputs and outputs do not depend on it.
        out: folder to be made, in one that exists.

    Raises:
        ExportError: torch.export or coremltools refused the graph.
    """
    ct = load_coremltools()
    classifies = spec.card.task is Task.CLASSIFICATION
    names = [spec.output.name, _PROBABILITIES] if classifies else [spec.output.name]
    dtype = np.dtype(spec.output.dtype).type
    with _scratch_beside(out) as scratch:
        package = scratch / out.name
        with conversion("coremltools could not convert the graph"), quiet(), unvalidated():
            prepared = prepare(graph, options)
            program = _exported_program(_converted_part(prepared, spec, classifies), spec)
            model = ct.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=_deployment_target(ct, options.precision),
                compute_precision=_compute_precision(ct, options.precision),
                inputs=[_input_type(ct, spec)],
                outputs=[ct.TensorType(name=name, dtype=dtype) for name in names],
                skip_model_load=True,  # compiling for this machine proves nothing here
                package_dir=str(package),
            )
            encoded = encode(model, options.precision)
            if encoded is not model:
                shutil.rmtree(package)
                encoded.save(str(package))
        written = encoded.get_spec()
        (function,) = written.mlProgram.functions.values()
        compact(function)
        if classifies:
            make_classifier(written, _PROBABILITIES, spec.card.labels)
        write_metadata(written.description, spec)
        _rewrite(package / MODEL_FILE, written.SerializeToString(deterministic=True))
        package.rename(out)


class _FromLevels(nn.Module):
    """A graph that takes grey levels (0..255), divided by 256 on the way.

    Weights that are meant for levels are so small that float16 keeps some of them as subnormal numbers, which
    hardware may take for zero: of the bundled model, that loses 7 dB on the median input at 256x256, and
    fails the check on the worst. A power of two moves from the first convolution to its input without
    rounding either.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.inner = copy.deepcopy(graph)  # not `graph`, which is a name of torch.export's own
        stem = next(layer for layer in self.inner.modules() if isinstance(layer, nn.Conv2d))
        stem.weight.mul_(_LEVELS)

    def forward(self, levels: Tensor) -> Tensor:
        """RGB [1, 3, h, w], float32 -> what the graph gives."""
        result: Tensor = self.inner(levels * (1 / _LEVELS))
        return result


class _WithProbabilities(nn.Module):
    """A classifier that gives what Vision wants beside what it gave."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.inner = graph

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 3, h, w] -> logits and probabilities, both [1, classes]."""
        logits = self.inner(picture)
        return logits, logits.softmax(dim=-1)


@torch.no_grad()
def _converted_part(graph: nn.Module, spec: GraphSpec, classifies: bool) -> nn.Module:
    """What coremltools converts: Core ML itself turns a pixel buffer into floats, channels first."""
    if spec.takes_image:
        graph = _FromLevels(graph.get_submodule("tensor_graph"))
    return _WithProbabilities(graph) if classifies else graph


def _shape(spec: GraphSpec) -> tuple[int, ...]:
    return tuple(spec.input.shape[spec.input.layout.index(axis)] for axis in "NCHW")


def _input_type(ct: Any, spec: GraphSpec) -> Any:
    if spec.takes_image:
        return ct.ImageType(name=spec.input.name, shape=_shape(spec), color_layout=ct.colorlayout.RGB)
    return ct.TensorType(name=spec.input.name, shape=_shape(spec), dtype=np.float32)


def _exported_program(graph: nn.Module, spec: GraphSpec) -> torch.export.ExportedProgram:
    # torch.jit.trace, coremltools' other way in, fails on MobileViT with this torch: a shape reaches an op
    # that wants a number. Without decompositions coremltools refuses the program's dialect.
    with torch.no_grad():
        program = torch.export.export(graph, (torch.zeros(_shape(spec)),))
        converted: torch.export.ExportedProgram = program.run_decompositions({})
    return converted


def _deployment_target(ct: Any, precision: Precision) -> Any:
    # Quantised activations came with iOS 17; weights in few bits, and one palette for each tensor, with 16.
    return ct.target.iOS17 if precision is Precision.INT8 else ct.target.iOS16


def _compute_precision(ct: Any, precision: Precision) -> Any:
    return ct.precision.FLOAT32 if precision is Precision.FP32 else ct.precision.FLOAT16


def _rewrite(file: Path, content: bytes) -> None:
    # coremltools makes this file readable by its owner alone; written anew, it follows the umask.
    file.unlink()
    file.write_bytes(content)


@contextmanager
def _scratch_beside(out: Path) -> Iterator[Path]:
    """A folder on the disk of ``out``, where coremltools puts its temporary files too."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="coreml-", dir=out.parent) as scratch:
        tempfile.tempdir = scratch
        try:
            yield Path(scratch)
        finally:
            tempfile.tempdir = before
