"""ONNX Runtime's ``quantize_static`` with its defaults, after the preprocessing that its page asks for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers import torch_onnx
from benchmarks.peers.inputs import calibration


class OnnxruntimeStatic:
    name = "quantize_static"
    runtime = "onnx"
    precision = "int8"
    libraries = torch_onnx.PEER.libraries

    def export(self, checkpoint: Path, out: Path) -> None:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, quantize_static

        class Pictures(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
            def __init__(self, name: str) -> None:
                self._feeds = ({name: pixel_values} for pixel_values in calibration(checkpoint))

            def get_next(self) -> dict[str, Any] | None:
                return next(self._feeds, None)

        with preprocessed(checkpoint) as plain:
            name = onnx.load(plain).graph.input[0].name
            quantize_static(plain, out, Pictures(name))


@contextmanager
def preprocessed(checkpoint: Path) -> Iterator[Path]:
    """The fp32 peer's file with shapes inferred, optimised by ONNX Runtime."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        torch_onnx.PEER.export(checkpoint, plain)
        quant_pre_process(plain, ready)
        yield ready


PEER = OnnxruntimeStatic()
