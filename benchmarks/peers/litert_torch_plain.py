"""transformers' model through litert-torch, as its README has it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.inputs import example, transformers_model


class LitertTorchPlain:
    name = "litert-torch"
    runtime = "tflite"
    precision = "fp32"
    libraries = ("litert-torch", "ai-edge-litert", "transformers", "torch")

    def export(self, checkpoint: Path, out: Path) -> None:
        import litert_torch

        litert_torch.convert(transformers_model(checkpoint), example()).export(str(out))


PEER = LitertTorchPlain()
