"""ai-edge-quantizer's stock static recipe, ``static_wi8_ai8``, on litert-torch's file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.peers import litert_torch_plain
from benchmarks.peers.inputs import calibration


class AiEdgeQuantizerStatic:
    name = "ai-edge-quantizer static"
    runtime = "tflite"
    precision = "int8"
    libraries = ("ai-edge-quantizer", *litert_torch_plain.PEER.libraries)

    def export(self, checkpoint: Path, out: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe

        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.tflite"
            litert_torch_plain.PEER.export(checkpoint, plain)
            ((signature, ends),) = Interpreter(str(plain)).get_signature_list().items()
            (name,) = ends["inputs"]
            quantization = quantizer.Quantizer(str(plain), recipe.static_wi8_ai8())
            pictures = [{name: pixel_values} for pixel_values in calibration(checkpoint)]
            statistics = quantization.calibrate({signature: pictures})
            quantization.quantize(statistics).export_model(str(out))


PEER = AiEdgeQuantizerStatic()
