"""The whole program, read from top to bottom.

checkpoint -> reference -> deploy graph -> target.export -> parity -> artifact with manifest
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.errors import ExportError, TargetError, UsageError
from mobilevit_deploy.output import output_folder, publish, staging
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference, load_model
from mobilevit_deploy.target import ExportOptions, GraphSpec, Target, get_target, suggestion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact, Manifest
    from mobilevit_deploy.parity.result import ParityResult

OnStage = Callable[[str], None]
"""Called with the name of each stage as it begins, for progress."""


@dataclass(frozen=True)
class Exported:
    """An artifact on disk with its manifest; ``manifest.parity`` holds the verdict."""

    path: Path
    manifest: Manifest


@dataclass(frozen=True)
class Prediction:
    """Class probabilities of one picture, by the reference and by an artifact if there is one."""

    labels: tuple[str, ...]
    reference: NDArray[Any]
    artifact: NDArray[Any] | None = None
    engine: str | None = None

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Probabilities (classes,) of whatever was asked."""
        asked = {"reference": self.reference, "artifact": self.artifact}
        return {name: probabilities for name, probabilities in asked.items() if probabilities is not None}

    def best(self, count: int, *, of: str) -> list[tuple[str, float]]:
        """The ``count`` most probable classes of one column, best first."""
        from mobilevit_deploy.parity.metrics import top_k

        probabilities = self.columns[of]
        return [(self.labels[i], float(probabilities[i])) for i in top_k(probabilities, count)]


def export(
    model: Reference | str | Path | None = None,
    *,
    target: str,
    precision: str = Precision.FP32,
    image_size: int | tuple[int, int] | None = None,
    output: str | Path = "exports",
    on_stage: OnStage = lambda _: None,
) -> Exported:
    """Export a model for one target, and prove that the file computes what the model computes.

    Args:
        model: a loaded reference, or what ``load_model`` takes; None is the bundled demo model.
        target: name of a registered target, such as ``tflite``.
        precision: ``fp32``, or ``fp16`` where the target has it.
        image_size: side, or (height, width), of the input in pixels; None keeps the checkpoint's own.
        output: folder for the artifact and its manifest. An artifact that fails parity goes to its
            subfolder ``failed``, so that it is never picked up by mistake.
        on_stage: told each stage as it begins.

    Raises:
        DeployError: see its subclasses. A failed parity check raises nothing: look at
            ``manifest.parity.passed``.
    """
    chosen = usable_target(target)
    options = ExportOptions(check_precision(chosen, precision))
    folder = output_folder(Path(output))

    on_stage("load")
    reference = _reference(model).resized(_pair(image_size))
    name = artifact_name(reference, chosen, options.precision)

    from mobilevit_deploy.model.rewrite import deploy_graph

    with staging(folder) as stage:
        on_stage("rewrite")
        graph = deploy_graph(reference.model, chosen.rewrites)
        on_stage("convert")
        artifact = chosen.export(graph, _graph_spec(reference), options, stage / name)
        on_stage("parity")
        parity = check(artifact, chosen, reference)
        on_stage("write")
        manifest = _manifest(artifact, chosen, reference, parity)
        path = publish(artifact.path, manifest, folder)
    return Exported(path, manifest)


def verify(
    path: str | Path, *, model: Reference | str | Path | None = None, on_stage: OnStage = lambda _: None
) -> ParityResult:
    """Run the parity check of an artifact on disk again.

    Args:
        path: the artifact; its manifest lies beside it.
        model: the reference to compare with; None takes the model that the manifest names.
        on_stage: told each stage as it begins.

    Raises:
        ArtifactError: the artifact has no readable manifest, or changed since export.
    """
    from mobilevit_deploy.artifact import open_artifact

    on_stage("read")
    artifact, manifest = open_artifact(Path(path))
    target = usable_target(manifest.target)
    on_stage("load")
    reference = _reference(model if model is not None else manifest.model.source)
    reference = replace(reference, preprocess=manifest.preprocessing)
    on_stage("parity")
    result = check(artifact, target, reference)
    if reference.weights_sha256() == manifest.model.weights_sha256:
        return result
    reason = f"'{reference.source}' does not hold the weights that the artifact was made from"
    return result.model_copy(update={"verdict": "fail", "reasons": (reason, *result.reasons)})


def predict(
    image: str | Path,
    *,
    target: str | None = None,
    artifact: str | Path | None = None,
    model: Reference | str | Path | None = None,
    precision: str = Precision.FP32,
    output: str | Path = "exports",
    on_stage: OnStage = lambda _: None,
) -> Prediction:
    """Classify one picture with the reference, and with an artifact beside it.

    Args:
        image: a picture in any format that Pillow reads.
        target: compare with this target's artifact in ``output``, exported first if it is not there.
        artifact: compare with this file; takes the place of ``target``.
        model: the reference; None takes the artifact's own model, or the demo model.
        precision: of the target's artifact.
        output: folder of artifacts.
        on_stage: told each stage as it begins.

    Raises:
        ImageError: the file is not a usable picture.
    """
    from mobilevit_deploy.image import load_image

    picture = load_image(Path(image))
    if artifact is None and target is None:
        on_stage("load")
        reference = _reference(model)
        return Prediction(reference.labels, _softmax(reference.run(reference.preprocess.apply(picture))[0]))

    from mobilevit_deploy.artifact import open_artifact, to_layout

    if artifact is None:
        assert target is not None
        model = _reference(model)
        artifact = _find_or_export(model, target, precision, Path(output), on_stage)
    on_stage("read")
    opened, manifest = open_artifact(Path(artifact))
    reference = _reference(model if model is not None else manifest.model.source)
    pixels = manifest.preprocessing.apply(picture)
    on_stage("run")
    session = usable_target(manifest.target).open_session(opened)
    try:
        (logits,) = session.run(to_layout(pixels, "NCHW", opened.inputs[0].layout))
    finally:
        session.close()
    return Prediction(
        manifest.labels, _softmax(reference.run(pixels)[0]), _softmax(logits[0]), session.engine
    )


def check(artifact: Artifact, target: Target, reference: Reference) -> ParityResult:
    """Run every parity case through the file on disk and through the reference, and compare."""
    from mobilevit_deploy.artifact import to_layout
    from mobilevit_deploy.parity.cases import parity_cases
    from mobilevit_deploy.parity.compare import compare

    cases = parity_cases(reference.preprocess)
    expected = [(reference.run(case.pixel_values),) for case in cases]
    session = target.open_session(artifact)
    try:
        layout = artifact.inputs[0].layout
        produced = [session.run(to_layout(case.pixel_values, "NCHW", layout)) for case in cases]
    finally:
        session.close()
    return compare(
        artifact.outputs,
        [case.name for case in cases],
        expected,
        produced,
        tolerance=target.precisions[artifact.precision],
        engine=session.engine,
    )


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


def artifact_name(reference: Reference, target: Target, precision: Precision) -> str:
    """File name of an artifact, such as ``mobilevit-xxs-shapes-256-fp32.onnx``."""
    height, width = reference.image_size
    size = f"{height}" if height == width else f"{height}x{width}"
    return f"{reference.name}-{size}-{precision}{target.suffix}"


def _reference(model: Reference | str | Path | None) -> Reference:
    return model if isinstance(model, Reference) else load_model(model)


def _pair(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def _graph_spec(reference: Reference) -> GraphSpec:
    return GraphSpec(reference.input, reference.output, reference.preprocess, reference.labels)


def _manifest(artifact: Artifact, target: Target, reference: Reference, parity: ParityResult) -> Manifest:
    from mobilevit_deploy.artifact import Manifest, digest, size

    return Manifest(
        file=artifact.path.name,
        sha256=digest(artifact.path),
        bytes=size(artifact.path),
        target=artifact.target,
        precision=artifact.precision,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        preprocessing=reference.preprocess,
        labels=reference.labels,
        model=reference.card(),
        rewrites=target.rewrites,
        libraries={name: version(name) for name in ("mobilevit-deploy", *target.libraries)},
        parity=parity,
    )


def _find_or_export(
    reference: Reference, target: str, precision: str, output: Path, on_stage: OnStage
) -> Path:
    from mobilevit_deploy.artifact import manifest_path, read_manifest

    chosen = get_target(target)
    path = output / artifact_name(reference, chosen, check_precision(chosen, precision))
    if (
        manifest_path(path).exists()
        and read_manifest(path).model.weights_sha256 == reference.weights_sha256()
    ):
        return path
    exported = export(reference, target=target, precision=precision, output=output, on_stage=on_stage)
    if not exported.manifest.parity.passed:
        raise ExportError(
            f"{exported.path} failed its parity check: {'; '.join(exported.manifest.parity.reasons)}.",
            remedy=f"See what it does predict with --artifact {exported.path}.",
        )
    return exported.path


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: NDArray[Any] = exponentials / exponentials.sum()
    return probabilities
