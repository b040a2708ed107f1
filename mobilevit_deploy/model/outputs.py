"""What a model returns: named fields, of which those that are ``None`` do not count as positions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from torch import Tensor
from torch.utils import _pytree as pytree

_Output = TypeVar("_Output", bound="type[ModelOutput]")


def _returned_by_models(output: _Output) -> _Output:
    # torch.export takes a model apart into tensors and has to know how to take its result apart.
    pytree.register_dataclass(output)
    return output


class ModelOutput:
    """Fields by attribute (``output.logits``), name (``output["logits"]``) or position (``output[0]``)."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not ``None``, in order."""
        values = (getattr(self, item.name) for item in fields(self))  # type: ignore[arg-type]
        return tuple(value for value in values if value is not None)

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = getattr(self, key, None) if key in {item.name for item in fields(self)} else None  # type: ignore[arg-type]
        if value is None:
            raise KeyError(key)
        return value


@_returned_by_models
@dataclass(frozen=True)
class BackboneOutput(ModelOutput):
    """What ``MobileViTModel`` returns.

    Args:
        last_hidden_state: [batch, channels, height, width], the last feature map.
        pooler_output: [batch, channels], its mean over the picture; ``None`` without ``expand_output``.
        hidden_states: the output of each of the five stages, if asked for.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@_returned_by_models
@dataclass(frozen=True)
class ImageClassifierOutput(ModelOutput):
    """What ``MobileViTForImageClassification`` returns.

    Args:
        loss: scalar, if labels were given.
        logits: [batch, num_labels], before softmax.
        hidden_states: the output of each of the five stages, if asked for.
    """

    loss: Tensor | None = None
    logits: Tensor = None  # type: ignore[assignment]  # always set; the published order puts the loss first
    hidden_states: tuple[Tensor, ...] | None = None


@_returned_by_models
@dataclass(frozen=True)
class SemanticSegmenterOutput(ModelOutput):
    """What ``MobileViTForSemanticSegmentation`` returns.

    Args:
        loss: scalar, if labels were given.
        logits: [batch, num_labels, height/stride, width/stride], before softmax, rounded up.
        hidden_states: the output of each of the five stages, if asked for.
    """

    loss: Tensor | None = None
    logits: Tensor = None  # type: ignore[assignment]  # always set; the published order puts the loss first
    hidden_states: tuple[Tensor, ...] | None = None
