"""What a file says about itself: written into it at export, read back from it alone.

Each format carries the same ``Card`` under the key ``mobilevit_deploy``, beside its own conventions, so that
a file that was separated from its manifest can still be fed correctly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from mobilevit_deploy.errors import ArtifactError, TargetError
from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import Manifest, TensorSpec
    from mobilevit_deploy.target import Target

CARD_KEY = "mobilevit_deploy"
"""Name of the entry that holds the card as JSON, in every format."""


class Card(BaseModel):
    """What travels inside a file.

    Attributes:
        producer: name and version of the program that wrote the file.
        model: name of the model, such as ``mobilevit-xxs-shapes``.
        weights_sha256: fingerprint of the reference's parameters.
        preprocessing: what an app has to do before it feeds the file.
        labels: class names in the order of the output.
    """

    model_config = ConfigDict(frozen=True)

    producer: str
    task: Task
    precision: Precision
    model: str
    weights_sha256: str
    preprocessing: PreprocessSpec
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """What is found in a file.

    Attributes:
        inputs: as the file declares them, in the layout in which an app feeds them.
        outputs: likewise.
        card: what ``export`` put there; None in a file that another program wrote.
        labels: class names by the format's own convention, if there are any.
        details: what else the format tells, such as its opset or the number of its operators.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    card: Card | None
    labels: tuple[str, ...] | None = None
    details: Mapping[str, str] = field(default_factory=dict)


def read_card(path: Path, written: str | bytes | None) -> Card | None:
    """The card that was found in ``path``; None if there is none.

    Raises:
        ArtifactError: it is damaged.
    """
    if written is None:
        return None
    try:
        return Card.model_validate_json(written)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its beginning"
        raise ArtifactError(
            f"The card in {path} is damaged at {where}: {first['msg']}.", remedy="Export the model again."
        ) from error


def describe(path: Path) -> tuple[str, Description, list[str]]:
    """What a file says, and where the manifest beside it, if there is one, says something else.

    Returns:
        The name of the target that reads such files, the description, and a sentence for each disagreement.

    Raises:
        ArtifactError: no target reads such files, or it cannot be read.
    """
    from mobilevit_deploy.artifact import digest, manifest_path, read_manifest

    target = reader(path)
    found = target.describe(path)
    if not manifest_path(path).exists():
        return target.name, found, []
    try:
        manifest = read_manifest(path)
    except ArtifactError as error:
        return target.name, found, [f"The manifest cannot be used: {error.problem}"]
    warnings = disagreements(found, manifest)
    if digest(path) != manifest.sha256:
        warnings.append("The file changed after export: it has another sha256 than its manifest says.")
    return target.name, found, warnings


def reader(path: Path) -> Target:
    """The target that reads such files, by their suffix.

    Raises:
        ArtifactError: there is no such file, or no target for it.
        TargetError: its libraries are not installed.
    """
    from mobilevit_deploy.target import survey

    if not path.exists():
        raise ArtifactError(f"There is no file {path}.", remedy="Check the path.")
    suffixes = []
    for target, here in survey().values():
        if target is None:
            continue
        suffixes.append(target.suffix)
        if path.suffix == target.suffix and not here.usable:
            raise TargetError(f"Reading {path} needs {target.name}: {here.reason}.", remedy=here.remedy)
        if path.suffix == target.suffix:
            return target
    raise ArtifactError(
        f"{path} is no model file of a known kind.", remedy=f"These are: {', '.join(sorted(suffixes))}."
    )


def disagreements(found: Description, manifest: Manifest) -> list[str]:
    """Where a file and the manifest beside it say different things, one sentence each."""
    told: list[tuple[str, object, object]] = [
        ("inputs", _tensors(found.inputs), _tensors(manifest.inputs)),
        ("outputs", _tensors(found.outputs), _tensors(manifest.outputs)),
    ]
    if found.labels is not None:
        told.append(("labels", found.labels, manifest.labels))
    if found.card is not None:
        told += [
            (name.replace("_", " "), getattr(found.card, name), getattr(manifest, name))
            for name in ("task", "precision", "preprocessing", "labels")
        ]
        told.append(("weights", found.card.weights_sha256, manifest.model.weights_sha256))
    different = {name: (here, there) for name, here, there in told if here != there}
    return [
        f"The manifest and the file disagree about the {name}: {_difference(here, there)}."
        for name, (here, there) in different.items()
    ]


def _difference(here: object, there: object) -> str:
    """The first that differs, in the file and in the manifest."""
    if isinstance(here, PreprocessSpec) and isinstance(there, PreprocessSpec):
        ours, theirs = here.model_dump(), there.model_dump()
        field = next(name for name in ours if ours[name] != theirs[name])
        return f"{field} is {ours[field]} in the file, {theirs[field]} in the manifest"
    if isinstance(here, tuple | list) and isinstance(there, tuple | list):
        if len(here) != len(there):
            return f"{len(here)} in the file, {len(there)} in the manifest"
        here, there = next(pair for pair in zip(here, there, strict=True) if pair[0] != pair[1])
    return f"{here} in the file, {there} in the manifest"


def _tensors(specs: tuple[TensorSpec, ...]) -> list[str]:
    return [f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in specs]
