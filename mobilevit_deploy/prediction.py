"""One picture through the reference, and through an exported file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.choices import artifact_name, export_options, usable_target
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.pipeline import export, reference_of
from mobilevit_deploy.progress import OnStage
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference, app_preprocessing, as_reference, reference_output
from mobilevit_deploy.target import ExportOptions, Target
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mobilevit_deploy.artifact import Artifact, Manifest
    from mobilevit_deploy.image import PreprocessSpec


@dataclass(frozen=True)
class Classification:
    """Class probabilities (classes,) of one picture.

    Attributes:
        columns: by ``reference``, and by ``artifact`` if there is one.
        engine: what ran the artifact.
    """

    labels: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    engine: str | None = None

    def best(self, count: int, *, of: str = "reference") -> list[tuple[str, float]]:
        """The ``count`` most probable classes of one column, best first."""
        from mobilevit_deploy.parity.metrics import top_k

        probabilities = self.columns[of]
        return [(self.labels[i], float(probabilities[i])) for i in top_k(probabilities, count)]


@dataclass(frozen=True)
class Segmentation:
    """The class of every pixel of the model's input (height, width), as ``Classification`` has its columns.

    Attributes:
        preprocess: how the picture became that input, for the way back.
    """

    labels: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    preprocess: PreprocessSpec
    engine: str | None = None

    def shares(self, *, of: str) -> list[tuple[str, float]]:
        """The classes that occur in one column, each with its share of the pixels, largest first."""
        import numpy as np

        mask = self.columns[of]
        classes, counts = np.unique(mask, return_counts=True)
        found = zip(classes.tolist(), (counts / mask.size).tolist(), strict=True)
        return [(self.labels[i], share) for i, share in sorted(found, key=lambda pair: -pair[1])]

    @property
    def agreement(self) -> float | None:
        """Share of the pixels on which artifact and reference agree; None without an artifact."""
        if "artifact" not in self.columns:
            return None
        return float((self.columns["artifact"] == self.columns["reference"]).mean())


Prediction = Classification | Segmentation


def predict(
    image: str | Path,
    *,
    target: str | None = None,
    artifact: str | Path | None = None,
    model: Reference | str | Path | None = None,
    precision: str = Precision.FP32,
    channel_order: str | None = None,
    labels: str | Path | None = None,
    output: str | Path = "exports",
    on_stage: OnStage = lambda _: None,
) -> Prediction:
    """Classify or segment one picture with the reference, and with an artifact beside it.

    Args:
        image: a picture in any format that Pillow reads.
        target: compare with this target's artifact in ``output``, exported first if it is not there.
        artifact: compare with this file; takes the place of ``target``.
        model: the reference; None takes the artifact's own model, or the demo model.
        precision: of the target's artifact.
        channel_order: see ``load_model``; an artifact has its own.
        labels: see ``load_model``; an artifact has its own.
        output: folder of artifacts.
        on_stage: told each stage as it begins.

    Raises:
        ImageError: the file is not a usable picture.
        UsageError: model and artifact are for different tasks.
    """
    from mobilevit_deploy.image import load_image

    picture = load_image(Path(image))
    if artifact is None and target is None:
        on_stage("load")
        reference = as_reference(model, channel_order, labels)
        on_stage("run")
        return _prediction(reference, _by_reference(reference, picture), None, None)

    from mobilevit_deploy.artifact import open_artifact

    if artifact is None:
        assert target is not None
        on_stage("load")
        model = as_reference(model, channel_order, labels)
        options = export_options(usable_target(target), precision)
        artifact = _find_or_export(model, usable_target(target), options, Path(output), on_stage)
    on_stage("read")
    opened, manifest = open_artifact(Path(artifact))
    reference = reference_of(manifest, model)
    on_stage("run")
    produced, engine = _by_artifact(opened, manifest, reference, picture)
    expected = _by_reference(reference, picture)
    return replace(_prediction(reference, expected, produced, engine), labels=manifest.labels)


def _find_or_export(
    reference: Reference, target: Target, options: ExportOptions, output: Path, on_stage: OnStage
) -> Path:
    from mobilevit_deploy.artifact import manifest_path, read_manifest

    path = output / artifact_name(reference, target, options)
    if manifest_path(path).exists():
        model = read_manifest(path).model
        if (model.weights_sha256, model.preprocessing) == (reference.weights_sha256(), reference.preprocess):
            return path
    exported = export(
        reference, target=target.name, precision=options.precision, output=output, on_stage=on_stage
    )
    if not exported.manifest.passed:
        raise ExportError(
            f"{exported.path} failed its check: {'; '.join(exported.manifest.reasons)}.",
            remedy=f"See what it does predict with --artifact {exported.path}.",
        )
    return exported.path


def _by_reference(reference: Reference, picture: Image) -> NDArray[Any]:
    """Logits (1, classes), or a mask (1, height, width)."""
    return reference_output(reference, picture, reference.output(argmax=reference.task == Task.SEGMENTATION))


def _by_artifact(
    artifact: Artifact, manifest: Manifest, reference: Reference, picture: Image
) -> tuple[NDArray[Any], str]:
    """The same of an artifact, and what ran it."""
    from mobilevit_deploy.parity.metrics import decisions

    (given,), (wanted,) = artifact.inputs, artifact.outputs
    session = usable_target(manifest.target).open_session(artifact)
    try:
        (produced,) = session.run(app_preprocessing(reference, given).feed(picture, given))
    finally:
        session.close()
    if reference.task == Task.CLASSIFICATION:
        return produced, session.engine
    return decisions(produced, wanted.layout, reference.image_size), session.engine


def _prediction(
    reference: Reference, expected: NDArray[Any], produced: NDArray[Any] | None, engine: str | None
) -> Prediction:
    columns = {"reference": expected[0]}
    if produced is not None:
        columns["artifact"] = produced[0]
    if reference.task == Task.SEGMENTATION:
        return Segmentation(reference.labels, columns, reference.preprocess, engine)
    probabilities = {name: _softmax(logits) for name, logits in columns.items()}
    return Classification(reference.labels, probabilities, engine)


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: NDArray[Any] = exponentials / exponentials.sum()
    return probabilities
