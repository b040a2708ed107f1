"""What a TensorFlow model returns: the reference's outputs, made known to TensorFlow and Keras as trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import optree

from mobilevit_deploy.model.outputs import (
    BackboneOutput,
    ImageClassifierOutput,
    ModelOutput,
    SemanticSegmenterOutput,
)

_Output = TypeVar("_Output", bound="type[TFModelOutput]")


class TFModelOutput(ModelOutput):
    """An output that ``tf.function`` and ``model.predict`` take apart and put together again."""

    def __tf_flatten__(self) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """The names of the fields that are set, and their values."""
        names = tuple(item.name for item in fields(self) if getattr(self, item.name) is not None)  # type: ignore[arg-type]
        return names, tuple(getattr(self, name) for name in names)

    @classmethod
    def __tf_unflatten__(cls, names: tuple[str, ...], values: Iterable[Any]) -> Self:
        """The inverse."""
        return cls(**dict(zip(names, values, strict=True)))


def _returned_by_models(output: _Output) -> _Output:
    def flatten(value: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        names, values = value.__tf_flatten__()
        return values, names

    # Keras looks into the structures of its own namespace.
    kind: Any = output
    optree.register_pytree_node(kind, flatten, kind.__tf_unflatten__, namespace="keras")
    return output


@_returned_by_models
@dataclass(frozen=True)
class TFBackboneOutput(TFModelOutput, BackboneOutput):
    """What ``TFMobileViTModel`` returns, laid out as ``MobileViTModel``'s: NCHW."""


@_returned_by_models
@dataclass(frozen=True)
class TFImageClassifierOutput(TFModelOutput, ImageClassifierOutput):
    """What ``TFMobileViTForImageClassification`` returns."""


@_returned_by_models
@dataclass(frozen=True)
class TFSemanticSegmenterOutput(TFModelOutput, SemanticSegmenterOutput):
    """What ``TFMobileViTForSemanticSegmentation`` returns, its logits [b, num_labels, h, w]."""
