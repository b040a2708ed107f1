"""Making an image classifier by Core ML's convention: what Vision and Xcode recognise as one.

Such a model gives the best class and a dictionary of probabilities, by the names of the classes, which it
holds itself. coremltools makes one with ``ClassifierConfig``, but fails ("list index out of range", 9.0) when
there is another output beside these two, and the logits are to stay an output: they are what parity compares.
So the same additions are made here, to the program that it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LABEL = "classLabel"
"""Name of the output that is the best class."""

PROBABILITIES = "classLabel_probs"
"""Name of the output that holds the probability of every class."""

_STRING = {"tensorType": {"dataType": "STRING"}}
_DICTIONARY = {"keyType": _STRING, "valueType": {"tensorType": {"dataType": "FLOAT64"}}}


def make_classifier(spec: Any, probabilities: str, labels: Sequence[str]) -> None:
    """Turn one output of a model into the two of a classifier.

    Args:
        spec: protobuf ``Model`` of an ML program; changed in place.
        probabilities: name of the output that holds a probability for each class, float32.
        labels: names of the classes, in the order of the probabilities.
    """
    from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]

    names = class_labels(labels)
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    ParseDict(_classify(probabilities, names), block.operations.add())
    block.outputs[:] = [LABEL, PROBABILITIES, *(name for name in block.outputs if name != probabilities)]

    description = spec.description
    others = [output for output in description.output if output.name != probabilities]
    del description.output[:]
    ParseDict({"name": LABEL, "type": {"stringType": {}}}, description.output.add())
    ParseDict(
        {"name": PROBABILITIES, "type": {"dictionaryType": {"stringKeyType": {}}}}, description.output.add()
    )
    description.output.extend(others)
    description.predictedFeatureName = LABEL
    description.predictedProbabilitiesName = PROBABILITIES


def class_labels(labels: Sequence[str]) -> list[str]:
    """Names that can be keys of a dictionary: those that ImageNet has twice (``crane``) get their number."""
    names: dict[str, None] = {}
    for number, label in enumerate(labels):
        name = label
        while name in names:
            name += f" #{number}"
        names[name] = None
    return list(names)


def _classify(probabilities: str, names: Sequence[str]) -> dict[str, Any]:
    """The MIL operation, as JSON of the protobuf."""
    classes = {
        "type": {"listType": {"type": _STRING, "length": {"constant": {"size": len(names)}}}},
        "immediateValue": {"list": {"values": [_string(name) for name in names]}},
    }
    return {
        "type": "classify",
        "inputs": {
            "probabilities": {"arguments": [{"name": probabilities}]},
            "classes": {"arguments": [{"value": classes}]},
        },
        "outputs": [
            {"name": LABEL, "type": _STRING},
            {"name": PROBABILITIES, "type": {"dictionaryType": _DICTIONARY}},
        ],
        "attributes": {"name": _string("classify_0")},
    }


def _string(value: str) -> dict[str, Any]:
    return {"type": _STRING, "immediateValue": {"tensor": {"strings": {"values": [value]}}}}
