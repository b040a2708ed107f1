"""The whole program, read from top to bottom.

checkpoint -> reference -> deploy graph -> target.export -> parity -> artifact with manifest
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import CheckpointError, HubError, TargetError, UsageError
from mobilevit_deploy.output import output_folder, publish, staging
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference, as_reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, Target, get_target, suggestion
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mobilevit_deploy.artifact import Artifact, Manifest, TensorSpec
    from mobilevit_deploy.image import PreprocessSpec
    from mobilevit_deploy.parity.result import ParityResult
    from mobilevit_deploy.quantize.calibration import Calibration

OnStage = Callable[[str], None]
"""Called with the name of each stage as it begins, for progress."""


@dataclass(frozen=True)
class Exported:
    """An artifact on disk with its manifest; ``manifest.parity`` holds the verdict."""

    path: Path
    manifest: Manifest


def export(
    model: Reference | str | Path | None = None,
    *,
    target: str,
    precision: str = Precision.FP32,
    image_size: int | tuple[int, int] | None = None,
    input: str = Input.IMAGE,  # noqa: A002 - as the command line calls it
    argmax: bool = False,
    converter: str | None = None,
    channel_order: str | None = None,
    labels: str | Path | None = None,
    calibration: str | Path | None = None,
    output: str | Path = "exports",
    on_stage: OnStage = lambda _: None,
) -> Exported:
    """Export a model for one target, and prove that the file computes what the model computes.

    Args:
        model: a loaded reference, or what ``load_model`` takes; None is the bundled demo model.
        target: name of a registered target, such as ``tflite``.
        precision: ``fp32``, or another that the target offers.
        image_size: side, or (height, width), of the input in pixels; None keeps the checkpoint's own.
        input: ``image``, the graph takes the 8-bit RGB picture, and scale and channel order happen inside; or
            ``tensor``, it takes what the checkpoint takes.
        argmax: a segmentation graph gives the class of every pixel instead of logits.
        converter: one of the target's; None is the one it prefers.
        channel_order: see ``load_model``.
        labels: see ``load_model``.
        calibration: folder of pictures on which ``int8`` finds its ranges; None takes bundled ones.
        output: folder for the artifact and its manifest. An artifact that fails parity goes to its
            subfolder ``failed``, so that it is never picked up by mistake.
        on_stage: told each stage as it begins.

    Raises:
        DeployError: see its subclasses. A failed parity check raises nothing: look at
            ``manifest.parity.passed``.
    """
    chosen = usable_target(target)
    options = export_options(chosen, precision, input=input, argmax=argmax, converter=converter)
    folder = output_folder(Path(output))

    on_stage("load")
    reference = as_reference(model, channel_order, labels).resized(_pair(image_size))
    spec = _graph_spec(reference, options)
    if options.precision.calibrated:
        on_stage("calibrate")
        options = replace(options, calibration=_calibration(reference, spec.input, calibration))

    from mobilevit_deploy.model.graph import deploy_graph

    with staging(folder) as stage:
        on_stage("rewrite")
        rewrites = chosen.rewrites(options)
        folded = reference.preprocess if spec.takes_image else None
        graph = deploy_graph(reference.model, rewrites, preprocess=folded, argmax=options.argmax)
        on_stage("convert")
        artifact = chosen.export(graph, spec, options, stage / artifact_name(reference, chosen, options))
        on_stage("parity")
        parity = check(artifact, chosen, reference)
        on_stage("write")
        manifest = _manifest(artifact, chosen, options, spec, reference, parity)
        path = publish(artifact.path, manifest, folder)
    return Exported(path, manifest)


def verify(
    path: str | Path, *, model: Reference | str | Path | None = None, on_stage: OnStage = lambda _: None
) -> ParityResult:
    """Run the parity check of an artifact on disk again, and hold its manifest against what it says itself.

    Args:
        path: the artifact; its manifest lies beside it.
        model: the reference to compare with; None takes the model that the manifest names.
        on_stage: told each stage as it begins.

    Raises:
        ArtifactError: the artifact has no readable manifest, or changed since export.
        UsageError: ``model`` was trained for another task.
    """
    from mobilevit_deploy.artifact import open_artifact
    from mobilevit_deploy.description import disagreements

    on_stage("read")
    artifact, manifest = open_artifact(Path(path))
    target = usable_target(manifest.target)
    on_stage("load")
    reference = reference_of(manifest, model)
    on_stage("parity")
    result = check(artifact, target, reference)
    reasons = disagreements(target.describe(artifact.path), manifest)
    if reference.weights_sha256() != manifest.model.weights_sha256:
        reasons.append(f"'{reference.source}' does not hold the weights that the artifact was made from")
    if not reasons:
        return result
    return result.model_copy(update={"verdict": "fail", "reasons": (*reasons, *result.reasons)})


def reference_of(manifest: Manifest, model: Reference | str | Path | None = None) -> Reference:
    """The reference of an artifact, fed as its manifest says.

    Args:
        manifest: of the artifact.
        model: to compare with; None takes the model that the manifest names.

    Raises:
        CheckpointError: the model that the manifest names is no longer where it was.
        UsageError: ``model`` was trained for another task.
    """
    try:
        reference = as_reference(model if model is not None else manifest.model.source)
    except (CheckpointError, HubError) as error:
        if model is not None:
            raise
        raise CheckpointError(
            f"{manifest.file} was made from '{manifest.model.source}', which cannot be opened from here: "
            f"{error.problem}",
            remedy="Say where the checkpoint is now: --model FOLDER.",
        ) from error
    if reference.task != manifest.task:
        raise UsageError(
            f"{manifest.file} is for {manifest.task}, and {reference.name} for {reference.task}.",
            remedy="Compare it with a model of the same kind.",
        )
    return replace(reference, preprocess=manifest.model.preprocessing)


def check(artifact: Artifact, target: Target, reference: Reference) -> ParityResult:
    """Run every parity picture through the file on disk and through the reference, and compare.

    Both start from the picture: scale and channel order are under test, wherever they happen.
    """
    from mobilevit_deploy.parity.cases import parity_cases
    from mobilevit_deploy.parity.compare import compare

    cases = parity_cases(reference.preprocess)
    (given,), (wanted,) = artifact.inputs, artifact.outputs
    expected = [(reference_output(reference, case.picture, wanted),) for case in cases]
    preprocess = app_preprocessing(reference, given)
    session = target.open_session(artifact)
    try:
        produced = [session.run(preprocess.feed(case.picture, given)) for case in cases]
    finally:
        session.close()
    return compare(
        artifact.outputs,
        [case.name for case in cases],
        expected,
        produced,
        tolerance=target.precisions[artifact.precision],
        engine=session.engine,
        image_size=reference.image_size,
    )


def reference_output(reference: Reference, picture: Image, wanted: TensorSpec) -> NDArray[Any]:
    """What an artifact's output ``wanted`` should hold for a picture, by the reference alone."""
    from mobilevit_deploy.artifact import to_layout
    from mobilevit_deploy.parity.metrics import decisions

    logits = reference.run(reference.preprocess.apply(picture))
    layout = reference.output().layout
    if "C" in wanted.layout:
        return to_layout(logits, layout, wanted.layout)
    return decisions(logits, layout, reference.image_size).astype(wanted.dtype)


def app_preprocessing(reference: Reference, tensor: TensorSpec) -> PreprocessSpec:
    """What is left to do before ``tensor`` is fed: less than for the reference if it takes the picture."""
    whole = reference.preprocess
    return whole.for_picture_input() if tensor.dtype == "uint8" else whole


def usable_target(name: str) -> Target:
    """The target called ``name``.

    Raises:
        UsageError: there is no such target.
        TargetError: it cannot run on this machine.
    """
    target = get_target(name)
    here = target.availability()
    if not here.usable:
        raise TargetError(f"Target '{name}' cannot run here: {here.reason}.", remedy=here.remedy)
    return target


def check_precision(target: Target, name: str) -> Precision:
    """The precision called ``name``.

    Raises:
        UsageError: ``target`` does not offer it; suggests the nearest.
    """
    offered = [str(precision) for precision in target.precisions]
    if name not in offered:
        raise UsageError(
            f"Target '{target.name}' has no precision '{name}'.",
            remedy=f"{suggestion(name, offered)}It offers: {', '.join(offered)}.",
        )
    return Precision(name)


def export_options(
    target: Target,
    precision: str,
    *,
    input: str = Input.IMAGE,  # noqa: A002
    argmax: bool = False,
    converter: str | None = None,
) -> ExportOptions:
    """What the user chose, checked against what ``target`` offers.

    Raises:
        UsageError: it does not offer the precision or the converter; suggests the nearest.
    """
    if converter is not None and converter not in target.converters:
        raise UsageError(
            f"Target '{target.name}' has no converter '{converter}'.",
            remedy=f"{suggestion(converter, list(target.converters))}It has: {', '.join(target.converters)}.",
        )
    if input not in list(Input):
        raise UsageError(f"There is no input '{input}'.", remedy=f"There are: {', '.join(Input)}.")
    return ExportOptions(
        check_precision(target, precision), converter or target.converters[0], Input(input), argmax
    )


def artifact_name(reference: Reference, target: Target, options: ExportOptions) -> str:
    """File name of an artifact, such as ``mobilevit-xxs-shapes-256-fp32.onnx``; names what is not default."""
    height, width = reference.image_size
    parts = [reference.name, f"{height}" if height == width else f"{height}x{width}", str(options.precision)]
    if options.input != Input.IMAGE:
        parts.append(str(options.input))
    if options.argmax:
        parts.append("mask")
    if options.converter != target.converters[0]:
        parts.append(options.converter)
    return "-".join(parts) + target.suffix


def _pair(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def _graph_spec(reference: Reference, options: ExportOptions) -> GraphSpec:
    from mobilevit_deploy.description import Card

    if options.argmax and reference.task != Task.SEGMENTATION:
        raise UsageError(
            f"{reference.name} is no segmentation model: its best class is one number, which an app finds.",
            remedy="Leave out --argmax, or take a segmentation model such as demo-segmentation.",
        )
    given = reference.input(options.input)
    card = Card(
        producer=f"mobilevit-deploy {version('mobilevit-deploy')}",
        task=reference.task,
        precision=options.precision,
        model=reference.name,
        weights_sha256=reference.weights_sha256(),
        preprocessing=app_preprocessing(reference, given),
        labels=reference.labels,
    )
    return GraphSpec(given, reference.output(argmax=options.argmax), card)


def _calibration(reference: Reference, given: TensorSpec, folder: str | Path | None) -> Calibration:
    from mobilevit_deploy.quantize.calibration import calibration

    return calibration(given, app_preprocessing(reference, given), None if folder is None else Path(folder))


def _manifest(
    artifact: Artifact,
    target: Target,
    options: ExportOptions,
    spec: GraphSpec,
    reference: Reference,
    parity: ParityResult,
) -> Manifest:
    from mobilevit_deploy.artifact import Manifest, digest, size

    return Manifest(
        file=artifact.path.name,
        sha256=digest(artifact.path),
        bytes=size(artifact.path),
        target=artifact.target,
        converter=options.converter,
        task=reference.task,
        precision=artifact.precision,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        preprocessing=spec.card.preprocessing,
        labels=reference.labels,
        model=reference.card(),
        rewrites=target.rewrites(options),
        libraries={name: version(name) for name in ("mobilevit-deploy", *target.libraries)},
        parity=parity,
    )
