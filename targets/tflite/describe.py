"""What a .tflite file says about itself."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.description import CARD_KEY, Description, read_card

from .file import damage_refused, read_model
from .metadata import METADATA_NAME, Metadata, label_lines, read_metadata


def describe_tflite(path: Path) -> Description:
    """Read signature, metadata, packed labels and card.

    Raises:
        ArtifactError: the file is truncated or damaged, or no .tflite file.
    """
    content, model = read_model(path)
    with damage_refused(path):
        buffers = _metadata_buffers(model)
        metadata = read_metadata(buffers[METADATA_NAME]) if METADATA_NAME in buffers else Metadata("", {}, ())
        labels = _labels(content, metadata)
        inputs, outputs = _tensors(model, metadata)
    card = read_card(path, buffers.get(CARD_KEY.encode()))
    if card and labels == label_lines(card.labels):
        labels = card.labels
    return Description(inputs, outputs, card, labels, _details(model, metadata))


def _metadata_buffers(model: Any) -> dict[bytes, bytes]:
    return {entry.name: bytes(model.buffers[entry.buffer].data) for entry in model.metadata or []}


def _labels(content: bytes, metadata: Metadata) -> tuple[str, ...] | None:
    """The lines of the packed label file; a file that names one and does not hold it is truncated."""
    if not metadata.label_files:
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return tuple(archive.read(metadata.label_files[0]).decode().split("\n")[:-1])


def _tensors(model: Any, metadata: Metadata) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    graph = model.subgraphs[0]
    given, wanted = (
        tuple(_spec(graph.tensors[i], metadata) for i in places) for places in (graph.inputs, graph.outputs)
    )
    return given, wanted


def _spec(tensor: Any, metadata: Metadata) -> TensorSpec:
    name = tensor.name.decode()
    dtypes = {value: key.lower() for key, value in vars(schema.TensorType).items() if isinstance(value, int)}
    return TensorSpec(
        name=name,
        shape=tuple(int(length) for length in tensor.shape),
        dtype=dtypes[tensor.type],
        layout=metadata.axes.get(name, ""),
    )


def _details(model: Any, metadata: Metadata) -> dict[str, str]:
    operators = [node.opcodeIndex for graph in model.subgraphs for node in graph.operators]
    count = Counter(flatbuffer_utils.opcode_to_name(model, index) for index in operators)
    listed = ", ".join(f"{number} {name}" for name, number in count.most_common())
    details = {
        "producer": (model.description or b"").decode(),
        "operators": f"{count.total()}: {listed}",
    }
    if metadata.parser_version:
        details["metadata"] = f"TFLite metadata, version {metadata.parser_version}"
    return details
