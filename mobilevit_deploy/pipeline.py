"""The whole program, read from top to bottom.

checkpoint -> reference -> deploy graph -> target.export -> parity, accuracy -> artifact with manifest
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.choices import artifact_name, export_options, usable_target
from mobilevit_deploy.errors import CheckpointError, HubError, UsageError
from mobilevit_deploy.output import output_folder, publish, staging
from mobilevit_deploy.progress import OnStage
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference, app_preprocessing, as_reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, Input, Target
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.accuracy.pictures import LabelledPictures
    from mobilevit_deploy.accuracy.result import AccuracyResult, Evaluation
    from mobilevit_deploy.artifact import Artifact, Manifest, TensorSpec
    from mobilevit_deploy.parity.result import ParityResult
    from mobilevit_deploy.quantize.calibration import Calibration
    from mobilevit_deploy.quantize.sensitivity import Sensitivity

_FLOAT_BLOCKS = (1, 2, 4, 8)
"""How many of the most sensitive blocks stay in floating point, one export after the other."""

_ANALYSED = 12
"""Calibration pictures in a sensitivity analysis, which runs the model once for each of its blocks."""


@dataclass(frozen=True)
class Exported:
    """An artifact on disk with its manifest; ``manifest.passed`` is the verdict."""

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
    evaluation: str | Path | None = None,
    gate: bool = True,
    output: str | Path = "exports",
    on_stage: OnStage = lambda _: None,
) -> Exported:
    """Export a model for one target, and prove that the file computes what the model computes.

    A precision of 8 bits or fewer must also keep the model's accuracy, within ``accuracy.result.Gate``. If
    ``int8`` does not, the blocks that suffer most stay in floating point, more each time, until it does.

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
        evaluation: folder of labelled pictures to judge accuracy on, see ``accuracy.pictures``; None takes
            the held-out pictures of the bundled models.
        gate: False leaves accuracy unjudged, which the manifest records.
        output: folder for the artifact and its manifest. An artifact that fails goes to its subfolder
            ``failed``, so that it is never picked up by mistake.
        on_stage: told each stage as it begins.

    Raises:
        DeployError: see its subclasses. A failed check raises nothing: look at ``manifest.passed``.
    """
    chosen = usable_target(target)
    options = export_options(chosen, precision, input=input, argmax=argmax, converter=converter)
    folder = output_folder(Path(output))

    on_stage("load")
    reference = as_reference(model, channel_order, labels).resized(_pair(image_size))
    spec = _graph_spec(reference, options)
    pictures = _labelled(reference, options, evaluation) if gate else None
    if options.precision.calibrated:
        on_stage("calibrate")
        options = replace(options, calibration=_calibration(reference, spec.input, calibration, on_stage))

    with staging(folder) as stage:
        attempts = _attempts(reference, options, calibration, on_stage) if gate else [options]
        for number, attempt in enumerate(attempts):
            place = stage / str(number)
            place.mkdir()
            artifact = _converted(chosen, reference, spec, attempt, place, on_stage)
            on_stage("parity")
            parity = check(artifact, chosen, reference)
            accuracy = _accuracy(artifact, chosen, reference, pictures, parity, on_stage)
            manifest = _manifest(artifact, chosen, attempt, spec, reference, parity, accuracy)
            if manifest.passed:
                break
        on_stage("write")
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
    """Run every parity picture through the file on disk and through the reference, and compare."""
    from mobilevit_deploy.parity.prove import prove

    def run_here(inputs: Sequence[NDArray[Any]]) -> tuple[str, list[tuple[NDArray[Any], ...]]]:
        session = target.open_session(artifact)
        try:
            return session.engine, [session.run(pixels) for pixels in inputs]
        finally:
            session.close()

    return prove(artifact, target.precisions[artifact.precision], reference, run_here)


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


def _labelled(
    reference: Reference, options: ExportOptions, folder: str | Path | None
) -> LabelledPictures | None:
    from mobilevit_deploy.accuracy.pictures import labelled_pictures

    if not options.precision.quantised:
        return None
    return labelled_pictures(reference, None if folder is None else Path(folder))


def _calibration(
    reference: Reference, given: TensorSpec, folder: str | Path | None, on_stage: OnStage
) -> Calibration:
    from mobilevit_deploy.quantize.calibration import calibration

    preprocess = app_preprocessing(reference, given)
    return calibration(given, preprocess, None if folder is None else Path(folder), on_stage=on_stage)


def _attempts(
    reference: Reference, options: ExportOptions, calibration: str | Path | None, on_stage: OnStage
) -> Iterator[ExportOptions]:
    """The export as asked for; if that is not good enough, with its most sensitive blocks left out."""
    yield options
    if not options.precision.calibrated:
        return
    order = analyse(reference, calibration=calibration, on_stage=on_stage).order()
    for count in _FLOAT_BLOCKS:
        yield replace(options, float_modules=tuple(order[:count]))
        if count >= len(order):
            return


def analyse(
    model: Reference | str | Path | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
    calibration: str | Path | None = None,
    on_stage: OnStage = lambda _: None,
) -> Sensitivity:
    """Find out which blocks of a model suffer most from 8 bits; see ``quantize.sensitivity``.

    Args:
        model: see ``export``.
        image_size: see ``export``.
        calibration: see ``export``.
        on_stage: told each stage as it begins.
    """
    from mobilevit_deploy.quantize.sensitivity import analyse as analyse_blocks

    on_stage("load")
    reference = as_reference(model).resized(_pair(image_size))
    on_stage("calibrate")
    inputs = _calibration(reference, reference.input(Input.TENSOR), calibration, on_stage).inputs
    on_stage("analyse")
    return analyse_blocks(reference, inputs[:: -(-len(inputs) // _ANALYSED)], on_stage=on_stage)


def _converted(
    target: Target,
    reference: Reference,
    spec: GraphSpec,
    options: ExportOptions,
    folder: Path,
    on_stage: OnStage,
) -> Artifact:
    from mobilevit_deploy.model.graph import deploy_graph

    on_stage("rewrite")
    folded = reference.preprocess if spec.takes_image else None
    graph = deploy_graph(reference.model, target.rewrites(options), preprocess=folded, argmax=options.argmax)
    on_stage("convert")
    return target.export(graph, spec, options, folder / artifact_name(reference, target, options))


def _accuracy(
    artifact: Artifact,
    target: Target,
    reference: Reference,
    pictures: LabelledPictures | None,
    parity: ParityResult,
    on_stage: OnStage,
) -> AccuracyResult | None:
    from mobilevit_deploy.accuracy.gate import judge, not_judged
    from mobilevit_deploy.accuracy.result import Gate

    if not artifact.precision.quantised:
        return None
    if pictures is None:
        return not_judged("the gate was switched off with --no-gate")
    if not parity.passed:
        return not_judged("parity failed")
    on_stage("evaluate")
    return judge(_evaluated(artifact, target, reference, pictures, on_stage), Gate())


def evaluate(
    path: str | Path,
    *,
    pictures: str | Path | None = None,
    count: int | None = None,
    model: Reference | str | Path | None = None,
    on_stage: OnStage = lambda _: None,
) -> Evaluation:
    """Run an artifact on disk over labelled pictures, and its reference beside it.

    Args:
        path: the artifact; its manifest lies beside it.
        pictures: folder of labelled pictures, see ``accuracy.pictures``; None takes the held-out pictures of
            the bundled models.
        count: how many of them; None is all of a folder, 480 held-out ones.
        model: the reference to compare with; None takes the model that the manifest names.
        on_stage: told each stage as it begins.

    Raises:
        ArtifactError: the artifact has no readable manifest, or changed since export.
        EvaluationError: the folder is not laid out as it should be.
        UsageError: there are no bundled pictures for the model.
    """
    from mobilevit_deploy.accuracy.pictures import labelled_pictures
    from mobilevit_deploy.artifact import open_artifact

    on_stage("read")
    artifact, manifest = open_artifact(Path(path))
    on_stage("load")
    reference = reference_of(manifest, model)
    found = labelled_pictures(reference, None if pictures is None else Path(pictures), count=count)
    on_stage("evaluate")
    return _evaluated(artifact, usable_target(manifest.target), reference, found, on_stage)


def _evaluated(
    artifact: Artifact, target: Target, reference: Reference, pictures: LabelledPictures, on_stage: OnStage
) -> Evaluation:
    from mobilevit_deploy.accuracy.evaluate import evaluate_session

    session = target.open_session(artifact)
    try:
        return evaluate_session(session, artifact, reference, pictures, on_stage=on_stage)
    finally:
        session.close()


def libraries(target: Target) -> dict[str, str]:
    """Versions of everything that makes an artifact what it is."""
    return {name: version(name) for name in ("mobilevit-deploy", *target.libraries)}


def _manifest(
    artifact: Artifact,
    target: Target,
    options: ExportOptions,
    spec: GraphSpec,
    reference: Reference,
    parity: ParityResult,
    accuracy: AccuracyResult | None,
) -> Manifest:
    from mobilevit_deploy.artifact import Manifest, Quantization, compressed_size, digest, size

    calibration = options.calibration
    return Manifest(
        file=artifact.path.name,
        sha256=digest(artifact.path),
        bytes=size(artifact.path),
        compressed_bytes=compressed_size(artifact.path),
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
        libraries=libraries(target),
        quantization=None
        if calibration is None
        else Quantization(calibration=calibration.source, float_modules=options.float_modules),
        parity=parity,
        accuracy=accuracy,
    )
