"""What a TensorFlow model returns: the reference's outputs as dictionaries, which TensorFlow takes anywhere.

``tf.function``, ``SavedModel`` and with it ``tf.lite.TFLiteConverter.from_keras_model`` accept a model that
returns tensors in a dict, and name the tensors by its keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import optree

_Output = TypeVar("_Output", bound="type[TFModelOutput]")


class TFModelOutput(dict[str, Any]):
    """Fields by attribute (``output.logits``), name (``output["logits"]``) or position (``output[0]``).

    As in the published outputs, fields that are ``None`` are no entries; as an attribute they are ``None``.
    """

    loss: Any = None
    hidden_states: tuple[Any, ...] | None = None

    def __init__(self, entries: Iterable[tuple[str, Any]] = (), **fields: Any) -> None:
        # TensorFlow puts an output together again from its entries, as it would a dict.
        given = dict(entries, **fields)
        super().__init__({name: value for name, value in given.items() if value is not None})

    def __getattribute__(self, name: str) -> Any:
        # Before the class's attribute, which is the None of a field that is not set.
        return self[name] if name in self else super().__getattribute__(name)

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are set, in order."""
        return tuple(self.values())


def _returned_by_models(output: _Output) -> _Output:
    def flatten(value: TFModelOutput) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        return value.to_tuple(), tuple(value)

    def unflatten(names: tuple[str, ...], values: Iterable[Any]) -> TFModelOutput:
        return output(zip(names, values, strict=True))

    # Keras looks into the structures of its own namespace, and takes no subclass for a dict.
    register: Any = optree.register_pytree_node  # typed for collections of any kind, these are of one
    register(output, flatten, unflatten, namespace="keras")
    return output


@_returned_by_models
class TFBackboneOutput(TFModelOutput):
    """What ``TFMobileViTModel`` returns, laid out as ``MobileViTModel``'s: NCHW."""

    last_hidden_state: Any
    pooler_output: Any = None


@_returned_by_models
class TFImageClassifierOutput(TFModelOutput):
    """What ``TFMobileViTForImageClassification`` returns."""

    logits: Any


@_returned_by_models
class TFSemanticSegmenterOutput(TFModelOutput):
    """What ``TFMobileViTForSemanticSegmentation`` returns, its logits [b, num_labels, h, w]."""

    logits: Any
