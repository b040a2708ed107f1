"""The runtimes' own benchmark tools, for those who have them: how each is started, and what it printed.

One module a tool. They measure in their own way, so that their numbers stand beside ours and are never mixed
with them: see each module for what its tool leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.devices.vendor import benchmark_model, executor_runner, onnxruntime_perf_test
from mobilevit_deploy.devices.vendor.run import Run
from mobilevit_deploy.devices.vendor.summary import Summary
from mobilevit_deploy.errors import UsageError

__all__ = ["TOOLS", "Run", "Summary", "Tool", "find_tool"]


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


def find_tool(file: Path) -> tuple[Tool, Path]:
    """The tool that a file is, by the beginning of its name, such as ``benchmark_model_plus_flex``.

    Raises:
        UsageError: it is none of ``TOOLS``, or there is no such file.
    """
    tool = next((tool for name, tool in TOOLS.items() if file.name.startswith(name)), None)
    if tool is None or not file.is_file():
        why = "is no file" if tool else "has the name of no tool that is known"
        raise UsageError(
            f"{file} {why}.", remedy=f"Pass {', '.join(TOOLS)} as built for the phone (android-arm64)."
        )
    return tool, file
