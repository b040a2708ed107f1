"""What is on disk of a sweep: artifacts that need not be made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.artifact import Manifest, ModelCard, manifest_path, open_artifact
from mobilevit_deploy.choices import artifact_name, export_options
from mobilevit_deploy.errors import ArtifactError, DeployError, UsageError
from mobilevit_deploy.sweep.matrix import Variant
from mobilevit_deploy.sweep.plan import Plan
from mobilevit_deploy.target import Target, get_target

if TYPE_CHECKING:
    from mobilevit_deploy.reference import Reference


@dataclass(frozen=True)
class Made:
    """What there is of a variant: an artifact, or why there is none, or neither as long as it is to be made.

    Attributes:
        variant: of which.
        path: of the artifact.
        manifest: of the artifact; ``passed`` is the verdict.
        error: why it cannot be made.
    """

    variant: Variant
    path: Path | None = None
    manifest: Manifest | None = None
    error: DeployError | None = None

    @property
    def to_do(self) -> bool:
        """Whether it is still to be made."""
        return self.manifest is None and self.error is None


def look(plan: Plan, variants: Iterable[Variant]) -> list[Made]:
    """Find what an export of each variant would only make again.

    Each model is loaded once, since its weights, and not its path, say whether an artifact is still its own.

    Raises:
        UsageError: two models would be written to the same file.
    """
    found = [
        made
        for model, group in groupby(variants, lambda each: each.model)
        for made in _of(plan, model, group)
    ]
    owners: dict[Path, str] = {}
    for made in found:
        if made.path and (other := owners.setdefault(made.path, made.variant.model)) != made.variant.model:
            raise UsageError(
                f"'{other}' and '{made.variant.model}' would both be written to {made.path.name}.",
                remedy="Rename the folder of one of them.",
            )
    return found


def _of(plan: Plan, model: str, variants: Iterable[Variant]) -> Iterator[Made]:
    from mobilevit_deploy.reference import load_model

    try:
        reference = load_model(model)
    except DeployError as error:
        yield from (Made(variant, error=error) for variant in variants)
        return
    for variant in variants:
        target = get_target(variant.target)
        sized = reference.resized(variant.image_size)
        options = export_options(target, variant.precision, converter=variant.converter)
        path = plan.output / artifact_name(sized, target, options)
        manifest = _readable(path)
        current = manifest if manifest and _is_current(manifest, plan, variant, target, sized) else None
        yield Made(variant, path, current)


def _readable(path: Path) -> Manifest | None:
    """The manifest of an artifact that is whole; whatever else lies there is made anew."""
    if not manifest_path(path).exists():
        return None
    try:
        return open_artifact(path)[1]
    except ArtifactError:
        return None


def _is_current(
    manifest: Manifest, plan: Plan, variant: Variant, target: Target, reference: Reference
) -> bool:
    """Whether the file is what an export would write now; its name tells target, size and precision."""
    from mobilevit_deploy.pipeline import libraries

    options = export_options(target, variant.precision, converter=variant.converter)
    card = ModelCard.model_validate_json(reference.card().model_dump_json())  # as a manifest holds it
    return (
        manifest.passed
        # Where a target is not installed, others made the file, and it can be measured all the same.
        and (not target.availability().usable or manifest.libraries == libraries(target))
        and (manifest.converter, manifest.rewrites) == (variant.converter, target.rewrites(options))
        and (manifest.model, manifest.labels) == (card, reference.labels)
        and _same_pictures(manifest, plan)
    )


def _same_pictures(manifest: Manifest, plan: Plan) -> bool:
    """Whether ranges were found, and accuracy was judged, on the pictures that the plan names."""
    from mobilevit_deploy.accuracy.pictures import BUNDLED

    export = plan.export
    if manifest.quantization:
        count_and_place = f" pictures, {export.calibration or 'bundled'}"
        if not manifest.quantization.calibration.endswith(count_and_place):
            return False
    if manifest.accuracy is None or not export.gate:
        return True
    judged = manifest.accuracy.evaluation
    return judged is not None and judged.pictures == str(export.evaluation or BUNDLED)
