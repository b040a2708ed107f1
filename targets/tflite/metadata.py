"""TFLite metadata, as TFLite Support and MediaPipe read it, and the project's own card.

A model's buffer ``TFLITE_METADATA`` holds a flatbuffer of the published ``metadata_schema.fbs`` (file
identifier M001): what the picture looks like, how it is normalised, and which associated file names the
classes. Associated files are a zip archive appended to the model; a flatbuffer ignores what follows it.

The published writers bring OpenCV and a sound library (mediapipe) or an old protobuf (tflite-support), so the
few tables that a picture model needs are written and read here.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table

from mobilevit_deploy.description import CARD_KEY, Card
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import TensorSpec
    from mobilevit_deploy.image import PreprocessSpec

METADATA_NAME = b"TFLITE_METADATA"
LABELS_FILE = "labels.txt"

_IDENTIFIER = b"M001"

_PARSER_VERSION = "1.0.0"
"""The first version that knows all of the fields written here but the next."""

_CUSTOM_PARSER_VERSION = "1.5.0"
"""The first that knows custom metadata."""

_SEGMENTER, _SEGMENTER_IDENTIFIER = "SEGMENTER_METADATA", b"V001"
"""Where MediaPipe's ImageSegmenter looks, and its schema: ``image_segmenter_metadata_schema.fbs``."""

# Of its enums and unions.
_TENSOR_AXIS_LABELS, _TENSOR_VALUE_LABELS = 2, 3
_RGB = 1
_IMAGE_PROPERTIES = 2
_NORMALIZATION = 1
_SOFTMAX = 2

# Slots of the schema's tables: the order of their fields.
_MODEL_NAME, _MODEL_DESCRIPTION, _MODEL_SUBGRAPHS, _MODEL_AUTHOR, _MODEL_VERSION = 0, 1, 3, 4, 7
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_CUSTOM = 2, 3, 9
_TENSOR_NAME, _TENSOR_DESCRIPTION, _TENSOR_AXES, _TENSOR_CONTENT, _TENSOR_UNITS, _TENSOR_FILES = (
    0,
    1,
    2,
    3,
    4,
    6,
)


@dataclass(frozen=True)
class Metadata:
    """What is read back.

    Attributes:
        parser_version: the lowest version of a parser that understands the metadata.
        axes: the names of every tensor's axes, by the tensor's name.
        label_files: the files that name the classes of an output.
    """

    parser_version: str
    axes: dict[str, str]
    label_files: tuple[str, ...]


def add_metadata(model: Any, card: Card, given: TensorSpec, wanted: TensorSpec, *, converter: str) -> None:
    """Put metadata and card into a model's object tree, as ``flatbuffer_utils`` reads it.

    Args:
        model: changed in place.
        card: what the file says about itself.
        given: the file's own input.
        wanted: its output.
        converter: which program wrote the graph.
    """
    model.description = f"{card.producer} ({converter})"
    _add_buffer(model, METADATA_NAME, _written(card, given, wanted))
    _add_buffer(model, CARD_KEY.encode(), card.model_dump_json().encode())


def pack_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """``content`` with the label file appended: a zip archive, the same bytes every time."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        # ZipInfo's date is 1980 unless told; a name alone would take the clock's.
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), "".join(f"{line}\n" for line in label_lines(labels)))
    return stream.getvalue()


def label_lines(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels as the label file has them, a line each."""
    return tuple(label.replace("\n", " ") for label in labels)


def read_metadata(content: bytes) -> Metadata:
    """The tables that ``add_metadata`` writes, from the content of the buffer."""
    start = int.from_bytes(content[:4], "little")
    model = Table(content, start)
    axes: dict[str, str] = {}
    files: list[str] = []
    for subgraph in _tables(model, _MODEL_SUBGRAPHS):
        for slot in (_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS):
            for tensor in _tables(subgraph, slot):
                axes[_text(tensor, _TENSOR_NAME)] = "".join(_texts(tensor, _TENSOR_AXES))
                files += [_text(file, 0) for file in _tables(tensor, _TENSOR_FILES)]
    return Metadata(_text(model, _MODEL_VERSION), axes, tuple(files))


def _add_buffer(model: Any, name: bytes, data: bytes) -> None:
    buffer = schema.BufferT()
    buffer.data = list(data)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def _written(card: Card, given: TensorSpec, wanted: TensorSpec) -> bytes:
    writer = _Writer()
    subgraph = {
        _SUBGRAPH_INPUTS: writer.vector([_picture(writer, given, card.preprocessing)]),
        _SUBGRAPH_OUTPUTS: writer.vector([_scores(writer, wanted)]),
    }
    scores_pixels = card.task == Task.SEGMENTATION and "C" in wanted.layout
    if scores_pixels:
        subgraph[_SUBGRAPH_CUSTOM] = writer.vector([_segmenter(writer)])
    model = writer.table(
        {
            _MODEL_NAME: writer.text(card.model),
            _MODEL_DESCRIPTION: writer.text(f"{card.task}, {len(card.labels)} classes"),
            _MODEL_SUBGRAPHS: writer.vector([writer.table(subgraph)]),
            _MODEL_AUTHOR: writer.text(card.producer),
            _MODEL_VERSION: writer.text(_CUSTOM_PARSER_VERSION if scores_pixels else _PARSER_VERSION),
        }
    )
    return writer.finished(model, _IDENTIFIER)


def _picture(writer: _Writer, tensor: TensorSpec, steps: PreprocessSpec) -> int:
    """TensorMetadata of the input. Readers feed (grey level - mean) / std."""
    _, height, width, channels = tensor.shape
    picture = channels == len(steps.channel_order)
    rgb = picture and steps.channel_order == "RGB"  # the schema knows no BGR: that one stays unknown
    image = writer.table({1: writer.table({}, lengths={0: width, 1: height})}, kinds={0: _RGB if rgb else 0})
    mean, std = writer.floats([0.0] * channels), writer.floats([1 / steps.rescale_factor] * channels)
    unit = writer.table({1: writer.table({0: mean, 1: std})}, kinds={0: _NORMALIZATION})
    order = f" in the order {steps.channel_order}" if picture else ""
    return writer.table(
        {
            **_named(writer, tensor, f"Picture, {width}x{height} pixels, channels{order}."),
            _TENSOR_CONTENT: writer.table({1: image}, kinds={0: _IMAGE_PROPERTIES}),
            _TENSOR_UNITS: writer.vector([unit]),
        }
    )


def _scores(writer: _Writer, tensor: TensorSpec) -> int:
    """TensorMetadata of the output, with its labels."""
    per_class = "C" in tensor.layout
    labels = writer.table(
        {0: writer.text(LABELS_FILE), 1: writer.text("Names of the classes, a line each.")},
        kinds={2: _TENSOR_AXIS_LABELS if per_class else _TENSOR_VALUE_LABELS},
    )
    told = (
        "Score of every class, before softmax." if per_class else "Number of the best class of every pixel."
    )
    return writer.table({**_named(writer, tensor, told), _TENSOR_FILES: writer.vector([labels])})


def _segmenter(writer: _Writer) -> int:
    """CustomMetadata: MediaPipe is to turn logits into the probabilities that it calls confidence masks."""
    options = _Writer()
    content = options.finished(options.table({}, kinds={0: _SOFTMAX}), _SEGMENTER_IDENTIFIER)
    return writer.table({0: writer.text(_SEGMENTER), 1: writer.content(content)})


def _named(writer: _Writer, tensor: TensorSpec, description: str) -> dict[int, int]:
    return {
        _TENSOR_NAME: writer.text(tensor.name),
        _TENSOR_DESCRIPTION: writer.text(description),
        _TENSOR_AXES: writer.vector([writer.text(axis) for axis in tensor.layout]),
    }


class _Writer:
    """Flatbuffer tables by the numbers of their fields; everything returns where it was written."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder()

    def text(self, value: str) -> int:
        """A string."""
        return int(self._builder.CreateString(value))

    def floats(self, values: Sequence[float]) -> int:
        """[float]."""
        return self._vector(values, self._builder.PrependFloat32)

    def vector(self, places: Sequence[int]) -> int:
        """A vector of strings or tables."""
        return self._vector(places, self._builder.PrependUOffsetTRelative)

    def table(
        self,
        references: Mapping[int, int],
        *,
        kinds: Mapping[int, int] = MappingProxyType({}),
        lengths: Mapping[int, int] = MappingProxyType({}),
    ) -> int:
        """A table: strings, vectors and tables by reference, enums (a byte) and lengths (uint) by value."""
        self._builder.StartObject(1 + max([*references, *kinds, *lengths]))
        for slot, place in references.items():
            self._builder.PrependUOffsetTRelativeSlot(slot, place, 0)
        for slot, length in lengths.items():
            self._builder.PrependUint32Slot(slot, length, 0)
        for slot, kind in kinds.items():
            self._builder.PrependUint8Slot(slot, kind, 0)
        return int(self._builder.EndObject())

    def content(self, data: bytes) -> int:
        """[ubyte], aligned as a flatbuffer within a flatbuffer has to be."""
        self._builder.StartVector(1, len(data), 16)
        for byte in reversed(data):
            self._builder.PrependByte(byte)
        return int(self._builder.EndVector())

    def finished(self, root: int, identifier: bytes) -> bytes:
        """The buffer, with the identifier of its schema."""
        self._builder.Finish(root, file_identifier=identifier)
        return bytes(self._builder.Output())

    def _vector(self, values: Sequence[Any], prepend: Callable[[Any], None]) -> int:
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            prepend(value)
        return int(self._builder.EndVector())


def _tables(table: Table, slot: int) -> Iterator[Table]:
    for place in _elements(table, slot):
        yield Table(table.Bytes, table.Indirect(place))


def _texts(table: Table, slot: int) -> Iterator[str]:
    for place in _elements(table, slot):
        yield table.String(place).decode()


def _elements(table: Table, slot: int) -> Iterator[int]:
    field = _field(table, slot)
    if field:
        start = table.Vector(field)
        yield from range(start, start + 4 * table.VectorLen(field), 4)


def _text(table: Table, slot: int) -> str:
    field = _field(table, slot)
    return table.String(field + table.Pos).decode() if field else ""


def _field(table: Table, slot: int) -> int:
    """Where a field lies in its table; 0 if it is not set."""
    return int(table.Offset(4 + 2 * slot))
