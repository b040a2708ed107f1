"""PT2E with ``XNNPACKQuantizer``, per channel and symmetric as ExecuTorch's page on XNNPACK has it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.executorch_xnnpack import PEER as FP32
from benchmarks.peers.executorch_xnnpack import lower
from benchmarks.peers.inputs import calibration, example, transformers_model


class ExecutorchPt2e:
    name = "ExecuTorch PT2E"
    runtime = "executorch"
    precision = "int8"
    libraries = FP32.libraries

    def export(self, checkpoint: Path, out: Path) -> None:
        import torch
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        graph = torch.export.export(transformers_model(checkpoint), example()).module()
        prepared = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for pixel_values in calibration(checkpoint):
                prepared(torch.from_numpy(pixel_values))
        lower(torch.export.export(convert_pt2e(prepared), example()), out)


PEER = ExecutorchPt2e()
