"""ONNX Runtime's ``quantize_dynamic`` with its defaults, after the preprocessing that its page asks for."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import torch_onnx
from benchmarks.peers.onnxruntime_static import preprocessed


class OnnxruntimeDynamic:
    name = "quantize_dynamic"
    runtime = "onnx"
    precision = "int8-dynamic"
    libraries = torch_onnx.PEER.libraries

    def export(self, checkpoint: Path, out: Path) -> None:
        from onnxruntime.quantization import quantize_dynamic

        with preprocessed(checkpoint) as plain:
            quantize_dynamic(plain, out)


PEER = OnnxruntimeDynamic()
