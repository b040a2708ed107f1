from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from mobilevit_deploy.pipeline import Exported

FLOAT16, FLOAT32 = schema.TensorType.FLOAT16, schema.TensorType.FLOAT32

LARGE = 1024
"""Elements of a constant that is worth its bytes in another type: smaller ones are shapes, and biases."""


def read(path: Path) -> Any:
    return flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))


def large_constants(path: Path) -> list[Any]:
    """A file's tensors that hold weights."""
    model = read(path)
    (graph,) = model.subgraphs
    return [
        tensor
        for tensor in graph.tensors
        if model.buffers[tensor.buffer].data is not None and np.prod(tensor.shape) >= LARGE
    ]


class TestHalf:
    @pytest.mark.parametrize("converter", ["litert-torch", "keras"])
    def test_weights_are_stored_in_sixteen_bits(
        self, exported: Callable[..., Exported], converter: str
    ) -> None:
        if converter == "keras":
            pytest.importorskip("tensorflow")
        whole, half = (
            exported("tflite", precision, converter=converter).path for precision in ("fp32", "fp16")
        )
        assert {tensor.type for tensor in large_constants(whole)} == {FLOAT32}
        assert {tensor.type for tensor in large_constants(half)} == {FLOAT16}
        assert half.stat().st_size < 0.53 * whole.stat().st_size

    def test_runs_as_a_whole_in_one_delegate(self, exported: Callable[..., Exported]) -> None:
        path = exported("tflite", "fp16", converter="litert-torch").path
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        assert [node["op_name"] for node in interpreter._get_ops_details()].count("DELEGATE") == 1
