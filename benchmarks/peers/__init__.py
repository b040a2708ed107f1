"""The same work done with other people's exporters, from the same weights.

Each other module is one peer: the commands that its documentation gives, with the settings that these leave
alone. README.md says where each comes from. Heavy libraries are imported inside ``export``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

_MODULES = (
    "litert_torch_plain",
    "ai_edge_quantizer_static",
    "keras_full_integer",
    "documentation_page",
    "executorch_xnnpack",
    "executorch_pt2e",
    "torch_onnx",
    "onnxruntime_static",
    "onnxruntime_dynamic",
)


class Peer(Protocol):
    """One way to a file.

    Attributes:
        name: as the tables call it.
        runtime: the target of ours whose runtime opens the file: ``tflite``, ``executorch`` or ``onnx``.
        precision: as ours are called: ``fp32``, ``int8`` (weights and activations) or ``int8-dynamic``.
        libraries: distributions that decide what comes out.
    """

    name: str
    runtime: str
    precision: str
    libraries: tuple[str, ...]

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write ``out`` from a folder with config.json and model.safetensors, as transformers reads it."""


def all_peers() -> list[Peer]:
    """Every peer, runtime by runtime."""
    return [import_module(f"{__name__}.{module}").PEER for module in _MODULES]
