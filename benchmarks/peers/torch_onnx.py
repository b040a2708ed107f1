"""transformers' model through ``torch.onnx.export(dynamo=True)``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.inputs import example, transformers_model


class TorchOnnx:
    name = "torch.onnx"
    runtime = "onnx"
    precision = "fp32"
    libraries = ("onnx", "onnxscript", "onnxruntime", "transformers", "torch")

    def export(self, checkpoint: Path, out: Path) -> None:
        import torch

        # In one file, which changes nothing in the graph.
        torch.onnx.export(
            transformers_model(checkpoint), example(), out, dynamo=True, external_data=False, verbose=False
        )


PEER = TorchOnnx()
