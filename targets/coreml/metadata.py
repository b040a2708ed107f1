"""What a package says about itself: in Xcode, to Vision, and to ``describe``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.description import CARD_KEY
from mobilevit_deploy.task import Task

from .classifier import class_labels

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import TensorSpec
    from mobilevit_deploy.description import Card
    from mobilevit_deploy.target import GraphSpec

PREVIEW_TYPE = "com.apple.coreml.model.preview.type"
PREVIEW_PARAMETERS = "com.apple.coreml.model.preview.params"
"""Keys that Xcode's preview reads; an app finds the names and colours of a segmentation's classes there."""

PIXEL_BUFFER = "CVPixelBuffer"
"""What an app hands over as a picture."""

_PREVIEWS = {Task.CLASSIFICATION: "imageClassifier", Task.SEGMENTATION: "imageSegmenter"}
_OUTPUTS = {
    "logits": "Scores before softmax, in the order of the labels",
    "mask": "The class of every pixel, a number in the order of the labels",
    "classLabel": "The most probable class",
    "classLabel_probs": "The probability of every class",
}


def write_metadata(description: Any, spec: GraphSpec) -> None:
    """Fill in a protobuf ``ModelDescription``. The licence of the weights is not ours to state."""
    card = spec.card
    metadata = description.metadata
    task = card.task.replace("-", " ")
    metadata.shortDescription = (
        f"MobileViT for {task}, {len(card.labels)} classes, input {_size(spec.input)} pixels"
    )
    metadata.author = f"Exported by {card.producer}"
    metadata.versionString = version("mobilevit-deploy")
    metadata.userDefined[CARD_KEY] = _without_known_labels(description, card).model_dump_json()
    if spec.takes_image:
        metadata.userDefined[PREVIEW_TYPE] = _PREVIEWS[card.task]
    if card.task is Task.SEGMENTATION:
        parameters = {"labels": card.labels, "colors": _colours(card.labels)}
        metadata.userDefined[PREVIEW_PARAMETERS] = json.dumps(parameters)
    for feature in description.input:
        feature.shortDescription = _feeding(spec)
    for feature in description.output:
        feature.shortDescription = _OUTPUTS[feature.name]


def _without_known_labels(description: Any, card: Card) -> Card:
    """The card as it is stored: ImageNet's labels are 30 kB, and need not be in a package twice."""
    classifier = bool(description.predictedFeatureName) and class_labels(card.labels) == list(card.labels)
    known = classifier or card.task is Task.SEGMENTATION
    return card.model_copy(update={"labels": ()}) if known else card


def segmentation_labels(description: Any) -> tuple[str, ...] | None:
    """Names of the classes as Xcode's preview of segmentation finds them; None if there are none."""
    parameters = json.loads(description.metadata.userDefined.get(PREVIEW_PARAMETERS, "{}"))
    return tuple(parameters["labels"]) if "labels" in parameters else None


def _colours(labels: Sequence[str]) -> list[str]:
    """Those of the overlays that ``predict`` draws, as ``#rrggbb``."""
    from mobilevit_deploy.image.palette import palette

    return ["#" + bytes(colour).hex() for colour in palette(len(labels))]


def _feeding(spec: GraphSpec) -> str:
    steps = spec.card.preprocessing
    if spec.takes_image:
        return (
            f"Picture of {_size(spec.input)} pixels, resized and cropped, as a {PIXEL_BUFFER} such as 32BGRA"
        )
    return (
        f"{spec.input.layout}, channels in {steps.channel_order} order, 8-bit levels times "
        f"{steps.rescale_factor:.6g}"
    )


def _size(tensor: TensorSpec) -> str:
    height, width = (tensor.shape[tensor.layout.index(axis)] for axis in "HW")
    return f"{width}x{height}"
