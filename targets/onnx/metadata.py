"""What an .onnx file says about itself, by ONNX's own conventions.

Type and dimension denotations, and the metadata of images, are those of ONNX's specification
(docs/TypeDenotation.md, docs/DimensionDenotation.md, docs/MetadataProps.md).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from mobilevit_deploy.description import CARD_KEY

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import TensorSpec
    from mobilevit_deploy.description import Card
    from mobilevit_deploy.image.spec import PreprocessSpec
    from mobilevit_deploy.target import GraphSpec

DENOTATIONS = {"N": "DATA_BATCH", "C": "DATA_CHANNEL", "H": "DATA_FEATURE", "W": "DATA_FEATURE"}

_PIXEL_RANGES = {1.0: "NominalRange_0_255", 1 / 255: "Normalized_0_1"}
"""By what the grey levels are multiplied by."""


def write_metadata(model: ir.Model, spec: GraphSpec) -> None:
    """Put the card, and what other tools look for, into ``model``."""
    card = spec.card
    classes = f"{len(card.labels)} classes"
    model.producer_name, _, model.producer_version = card.producer.partition(" ")
    model.doc_string = f"{card.model}: {card.task.replace('-', ' ')}, {classes}."
    model.graph.name = card.model
    model.metadata_props.update(_properties(card))
    (given,), (produced,) = model.graph.inputs, model.graph.outputs
    _denote(given, spec.input, "IMAGE")
    _denote(produced, spec.output, "TENSOR")


def _properties(card: Card) -> dict[str, str]:
    return {
        CARD_KEY: card.model_dump_json(),
        "task": card.task,
        "labels": json.dumps(card.labels, ensure_ascii=False),
        "preprocessing": card.preprocessing.model_dump_json(),
        **_image_properties(card.preprocessing),
    }


def _image_properties(preprocessing: PreprocessSpec) -> dict[str, str]:
    properties = {
        "Image.BitmapPixelFormat": f"{preprocessing.channel_order.title()}8",
        "Image.ColorSpaceGamma": "SRGB",
    }
    for factor, pixel_range in _PIXEL_RANGES.items():
        if math.isclose(preprocessing.rescale_factor, factor, rel_tol=1e-6):
            properties["Image.NominalPixelRange"] = pixel_range
    return properties


def _denote(value: ir.Value, spec: TensorSpec, kind: str) -> None:
    """Say what ``value`` is, and the meaning of each of its axes."""
    assert value.dtype is not None
    value.type = ir.TensorType(value.dtype, denotation=kind)
    value.shape = ir.Shape(spec.shape, denotations=[DENOTATIONS[axis] for axis in spec.layout])
