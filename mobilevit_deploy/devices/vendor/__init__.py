"""The runtimes' own benchmark tools, for those who have them: how each is started, and what it printed.

One module a tool. They measure in their own way, so that their numbers stand beside ours and are never mixed
with them: see each module for what its tool leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mobilevit_deploy.devices.vendor import benchmark_model, executor_runner, onnxruntime_perf_test
from mobilevit_deploy.devices.vendor.run import Run
from mobilevit_deploy.devices.vendor.summary import Summary

__all__ = ["TOOLS", "Run", "Summary", "Tool"]


@dataclass(frozen=True)
class Tool:
    """A benchmark tool: ``target`` is the one whose artifacts it runs.

    ``command`` gives the words of its command line; ``parse`` reads what it printed, output and error output
    together, and raises ``SessionError`` if that holds no time.
    """

    target: str
    command: Callable[[Run], list[str]]
    parse: Callable[[str], Summary]


TOOLS: Mapping[str, Tool] = {
    "benchmark_model": Tool("tflite", benchmark_model.command, benchmark_model.parse),
    "onnxruntime_perf_test": Tool("onnx", onnxruntime_perf_test.command, onnxruntime_perf_test.parse),
    "executor_runner": Tool("executorch", executor_runner.command, executor_runner.parse),
}
