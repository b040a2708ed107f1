"""What an .onnx file says about itself, read back from it alone."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.description import CARD_KEY, Description, read_card

from .file import dtype, read_model

_AXES = {"DATA_BATCH": "N", "DATA_CHANNEL": "C"}
_LAYOUTS = {2: "NC", 3: "NHW", 4: "NCHW"}
"""Of tensors whose axes the file does not name, by their number: the order of ONNX's own operators."""


def describe_model(path: Path) -> Description:
    """Read a model; no runtime opens it, and weights in files beside it are not looked for.

    Raises:
        ArtifactError: it is no ONNX model, or a damaged one.
    """
    model = read_model(path)
    graph = model.graph
    properties = {entry.key: entry.value for entry in model.metadata_props}
    weights = {weight.name for weight in graph.initializer}  # which old files list among the inputs too
    return Description(
        inputs=tuple(_tensor(value) for value in graph.input if value.name not in weights),
        outputs=tuple(_tensor(value) for value in graph.output),
        card=read_card(path, properties.get(CARD_KEY)),
        labels=_labels(properties),
        details=_details(model),
    )


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    # An axis whose length is open has a name instead of a length.
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in tensor.shape.dim)
    return TensorSpec(name=value.name, shape=shape, dtype=dtype(tensor.elem_type), layout=_layout(tensor))


def _layout(tensor: onnx.TypeProto.Tensor) -> str:
    denotations = [axis.denotation for axis in tensor.shape.dim]
    if not all(denotations):
        return _LAYOUTS.get(len(denotations), "")
    space = iter("HW")
    return "".join(_AXES.get(denotation) or next(space, "?") for denotation in denotations)


def _labels(properties: Mapping[str, str]) -> tuple[str, ...] | None:
    try:
        labels = json.loads(properties.get("labels", ""))
    except ValueError:
        return None  # another program's, which may write them as it likes
    if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
        return tuple(labels)
    return None


def _details(model: onnx.ModelProto) -> dict[str, str]:
    kinds = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda kind: -kind[1]))
    opsets = (f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    # Shapes and axes are int64.
    weights = (weight for weight in model.graph.initializer if weight.data_type != onnx.TensorProto.INT64)
    parameters = sum(math.prod(weight.dims) for weight in weights)
    details = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "about": model.doc_string,
        "operator sets": ", ".join(opsets),
        "IR version": str(model.ir_version),
        "operators": f"{kinds.total()}: {counts}",
        "parameters": f"{parameters:,}",
    }
    return {name: value for name, value in details.items() if value}
