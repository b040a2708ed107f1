"""What a file says about itself: written into it at export, read back from it alone.

Each format carries the same ``Card`` under the key ``mobilevit_deploy``, beside its own conventions, so that
a file that was separated from its manifest can still be fed correctly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import Manifest, TensorSpec

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


def disagreements(found: Description, manifest: Manifest) -> list[str]:
    """Where a file and the manifest beside it say different things, one sentence each."""
    told = [
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
    different = [name for name, here, there in told if here != there]
    return [f"The manifest and the file disagree about the {name}." for name in dict.fromkeys(different)]


def _tensors(specs: tuple[TensorSpec, ...]) -> list[str]:
    return [f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in specs]
