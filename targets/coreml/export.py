"""From a PyTorch graph to an .mlpackage on disk."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mobilevit_deploy.conversion import conversion
from mobilevit_deploy.quantize import Precision

from .package import MODEL_FILE
from .toolkit import load_coremltools, quiet

if TYPE_CHECKING:
    from mobilevit_deploy.target import GraphSpec

# What the messages of coremltools' native code begin with when a disk refuses; it keeps no errno.
_DISK_FAULTS = ("[MIL FileWriter]", "filesystem error")


def write_package(graph: torch.nn.Module, spec: GraphSpec, precision: Precision, out: Path) -> None:
    """Write ``graph`` as an ML program for iOS 16 and later.

    Args:
        graph: in evaluation mode, maps ``spec.input`` to ``spec.output``.
        spec: names, shapes and preprocessing.
        precision: of weights and activations; input and output are float32 in either.
        out: folder to be made, in one that exists.

    Raises:
        ExportError: torch.export or coremltools refused the graph.
        OSError: the disk did.
    """
    ct = load_coremltools()
    with _scratch_beside(out) as scratch:
        package = scratch / out.name
        with conversion("coremltools could not convert the graph"), quiet(), _disk_faults():
            model = ct.convert(
                _exported_program(graph, spec),
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS16,
                compute_precision=_compute_precision(ct, precision),
                inputs=[ct.TensorType(name=spec.input.name, shape=spec.input.shape, dtype=np.float32)],
                outputs=[ct.TensorType(name=spec.output.name, dtype=np.float32)],
                skip_model_load=True,  # compiling for this machine proves nothing here
                package_dir=str(package),
            )
        _describe(model, spec)
        _rewrite(package / MODEL_FILE, model.get_spec().SerializeToString())
        package.rename(out)


def _exported_program(graph: torch.nn.Module, spec: GraphSpec) -> torch.export.ExportedProgram:
    # torch.jit.trace, coremltools' other way in, fails on MobileViT with this torch: a shape reaches an op
    # that wants a number. Without decompositions coremltools refuses the program's dialect.
    with torch.no_grad():
        program = torch.export.export(graph, (spec.example(),))
        converted: torch.export.ExportedProgram = program.run_decompositions({})
    return converted


def _compute_precision(ct: Any, precision: Precision) -> Any:
    return {Precision.FP32: ct.precision.FLOAT32, Precision.FP16: ct.precision.FLOAT16}[precision]


def _describe(model: Any, spec: GraphSpec) -> None:
    """What Xcode shows; the licence of the weights is not ours to state."""
    steps = spec.card.preprocessing
    height, width = spec.input.shape[-2:]
    model.short_description = f"MobileViT, {len(spec.card.labels)} classes, input {width}x{height} pixels"
    model.author = "Exported by mobilevit-deploy"
    model.version = version("mobilevit-deploy")
    model.input_description[spec.input.name] = (
        f"{spec.input.layout}, channels in {steps.channel_order} order, 8-bit levels times "
        f"{steps.rescale_factor:.6g}"
    )
    model.output_description[spec.output.name] = "Scores before softmax, in the order of the labels"


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


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if str(error).startswith(_DISK_FAULTS):
            raise OSError(errno.EIO, "the disk is full, or it failed") from error
        raise
