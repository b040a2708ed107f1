"""The protocol that a deployment target implements, and the registry that finds targets.

A target knows one runtime: how to write its file, and how to run that file here. It is found through the
entry-point group ``mobilevit_deploy.targets``; the four built-in ones come in by that door as any third
party's does. A complete target:

    class RawTarget:
        name = "raw"
        suffix = ".pt2"
        extra = ""
        libraries = ("torch",)
        converters = ("torch.export",)
        precisions = {Precision.FP32: tolerance.FP32}

        def availability(self) -> Availability:
            return Availability(usable=True, engine="torch")

        def rewrites(self, options) -> tuple[str, ...]:
            return ("fold_batch_norm",)

        def export(self, graph, spec, options, out) -> Artifact:
            import torch

            torch.export.save(torch.export.export(graph, (spec.example(),)), out)
            return Artifact(out, self.name, options.precision, (spec.input,), (spec.output,))

        def open_session(self, artifact, *, threads=1) -> Session:
            return RawSession(artifact)

        def describe(self, path) -> Description:
            ...  # inputs and outputs of the file, and the card that ``export`` put into it

        def inspect(self, path) -> Inspection:
            ...  # its operators as a ``Dataflow``, counted by ``inspection.summary``

with, in its distribution's pyproject.toml:

    [project.entry-points."mobilevit_deploy.targets"]
    raw = "raw_target:RawTarget"
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mobilevit_deploy.errors import TargetError, UsageError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact, TensorSpec
    from mobilevit_deploy.description import Card, Description
    from mobilevit_deploy.inspection import Inspection
    from mobilevit_deploy.parity.tolerance import Tolerance
    from mobilevit_deploy.quantize import Precision
    from mobilevit_deploy.quantize.calibration import Calibration

ENTRY_POINT_GROUP = "mobilevit_deploy.targets"


@dataclass(frozen=True)
class Availability:
    """Whether a target can be used on this machine.

    Attributes:
        usable: it can export, and something here can run what it exports.
        engine: what would run the file here, such as ``coreml`` or ``mil-interpreter``.
        reason: why it is not usable; empty if it is.
        remedy: the command that mends it; empty if it is usable.
    """

    usable: bool
    engine: str
    reason: str = ""
    remedy: str = ""


def installed(libraries: Sequence[str], *, extra: str, engine: str) -> Availability:
    """Usable if all distributions in ``libraries`` are installed, whatever their versions; imports none."""
    missing = [name for name in libraries if not _is_installed(name)]
    if not missing:
        return Availability(usable=True, engine=engine)
    return Availability(
        usable=False,
        engine=engine,
        reason=f"not installed: {', '.join(missing)}",
        remedy=f"pip install 'mobilevit-deploy[{extra}]'",
    )


class Input(StrEnum):
    """What a file takes: the picture itself, or a tensor that the app has to prepare."""

    IMAGE = "image"
    TENSOR = "tensor"


@dataclass(frozen=True)
class GraphSpec:
    """What a deploy graph takes and gives, before a target changes its layout.

    Attributes:
        input: ``image``, uint8 RGB (1, height, width, 3), or ``pixel_values``, float32 (1, 3, height, width).
        output: ``logits``, float32, (1, classes) or (1, classes, height / stride, width / stride); or
            ``mask``, int32 class numbers (1, height, width).
        card: what goes into the file about itself; a target adds its format's own conventions.
    """

    input: TensorSpec
    output: TensorSpec
    card: Card

    @property
    def takes_image(self) -> bool:
        """Whether the graph is a ``PictureGraph``."""
        return self.input.dtype == "uint8"

    def example(self) -> torch.Tensor:
        """Zeros of the input's shape and type, for tracing."""
        import torch

        return torch.zeros(self.input.shape, dtype=getattr(torch, self.input.dtype))


@dataclass(frozen=True)
class ExportOptions:
    """What the user may choose about an export.

    Attributes:
        precision: number format of weights and activations.
        converter: one of the target's ``converters``.
        input: the picture itself, or the tensor that the checkpoint takes.
        argmax: segmentation gives class numbers at the input's size instead of logits.
        calibration: what to find ranges and palettes on; None where the precision has neither.
        float_modules: paths of the reference's modules, such as ``encoder.layer.3.fusion``, that a calibrated
            precision leaves in floating point; see ``quantize.inside``.
    """

    precision: Precision
    converter: str = ""
    input: Input = Input.IMAGE
    argmax: bool = False
    calibration: Calibration | None = None
    float_modules: tuple[str, ...] = ()


class Session(Protocol):
    """An artifact opened by a runtime. Opening loads it completely, so that ``run`` only runs."""

    @property
    def engine(self) -> str:
        """Name and version of the runtime, such as ``onnxruntime 1.32.0``."""

    @property
    def measurable(self) -> bool:
        """Whether its speed means anything: False for an interpreter that only proves parity."""

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once, on arrays as the artifact's ``inputs`` declare them; returns its ``outputs`` in order.

        Raises:
            SessionError: the runtime refused the input or failed.
        """

    def close(self) -> None:
        """Release what the runtime holds."""


class Target(Protocol):
    """A file format with its runtime. See the module's docstring for a complete example.

    Attributes:
        name: what ``--target`` takes.
        suffix: of the file or folder that ``export`` writes.
        extra: the pip extra of this project that brings its libraries.
        libraries: distributions whose versions the manifest records.
        converters: the programs that can write its file, the preferred one first.
        precisions: what it can export, each with what parity allows it.
    """

    name: str
    suffix: str
    extra: str
    libraries: tuple[str, ...]
    converters: tuple[str, ...]
    precisions: Mapping[Precision, Tolerance]

    def availability(self) -> Availability:
        """Say whether it can run here, without importing its libraries (well under 0.1 s)."""

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:
        """Names from ``mobilevit_deploy.model.rewrite`` that the graph goes through, in order."""

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        """Write ``graph`` to ``out``, a path that does not exist yet in a folder that does.

        ``graph`` is in evaluation mode and maps ``spec.input`` to ``spec.output``. The artifact returned
        declares the file's own inputs and outputs, such as an NHWC input.

        Raises:
            ExportError: the converter refused the graph.
        """

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> Session:
        """Load the file on disk.

        Raises:
            SessionError: the runtime refused the file.
        """

    def describe(self, path: Path) -> Description:
        """Read what a file says about itself; no manifest is needed.

        Raises:
            ArtifactError: it cannot be read.
        """

    def inspect(self, path: Path) -> Inspection:
        """Count a file's operators, and say which accelerator would take which; no manifest is needed.

        Raises:
            ArtifactError: it cannot be read.
        """


def target_names() -> list[str]:
    """Names of all registered targets, in alphabetical order."""
    return sorted(_entry_points())


def get_target(name: str) -> Target:
    """The target called ``name``.

    Raises:
        UsageError: no such target; suggests the nearest.
        TargetError: its code cannot be imported.
    """
    found = _entry_points()
    if name not in found:
        raise UsageError(
            f"There is no target '{name}'.",
            remedy=f"{suggestion(name, found)}Known targets: {', '.join(sorted(found))}.",
        )
    try:
        target: Target = found[name].load()()
    except (ImportError, AttributeError) as error:
        raise TargetError(
            f"Target '{name}' ({found[name].value}) cannot be imported: {error}.",
            remedy="Reinstall the distribution that registers it.",
        ) from error
    return target


def survey() -> dict[str, tuple[Target | None, Availability]]:
    """Every registered target with its availability; None for one whose code cannot be imported."""
    found: dict[str, tuple[Target | None, Availability]] = {}
    for name in target_names():
        try:
            target = get_target(name)
            found[name] = (target, target.availability())
        except TargetError as error:
            found[name] = (None, Availability(False, "", error.problem.rstrip("."), error.remedy))
    return found


def suggestion(word: str, known: Mapping[str, Any] | list[str]) -> str:
    """``Did you mean 'tflite'? `` for a near miss, otherwise an empty string."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"Did you mean '{near[0]}'? " if near else ""


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        twin = found.setdefault(point.name, point)
        # An editable install next to a wheel of the same project lists the same entry point twice.
        if twin.value != point.value:
            raise TargetError(
                f"Two distributions register a target '{point.name}': {twin.value} and {point.value}.",
                remedy="Uninstall one of them.",
            )
    return found
