"""``benchmark_model`` of TensorFlow Lite and of LiteRT.

Both generations print a line of statistics for the warm-up and one for the timed runs, in microseconds, older
builds without percentiles: google-ai-edge/LiteRT, ``tflite/tools/benchmark/benchmark_model.cc``. That file
prints the closing lines of the first generation, and ``litert/tools/benchmark_litert_model.h`` those of the
second, in milliseconds of two decimals. Inputs are random.
"""

from __future__ import annotations

import re

from mobilevit_deploy.devices.vendor.run import Run
from mobilevit_deploy.devices.vendor.summary import MIB, NUMBER, Summary, no_times, number, size

NAME = "benchmark_model"

_MS_PER_US = 1e-3

# What follows a heading, for a profiler prints such lines as well.
_STATISTICS = re.compile(r"Running benchmark for at least [^\n]*\n[^\n]*?\b(count=\d[^\n]*)", re.ASCII)

_FIRST_GENERATION = re.compile(
    rf"timings in us: Init: {NUMBER}, First inference: {NUMBER}, "
    rf"Warmup \(avg\): {NUMBER}, Inference \(avg\): {NUMBER}",
    re.ASCII,
)

_SECOND_GENERATION = (
    r"Model initialization:\s+# ms",
    r"Warmup \(first\):\s+# ms",
    r"Warmup \(avg\):\s+# ms",
    r"Inference \(avg\):\s+# ms",
)


def command(run: Run) -> list[str]:
    """Its command line."""
    return run.pinned(f"--graph={run.model}", f"--num_threads={run.threads}", f"--num_runs={run.runs}")


def parse(output: str) -> Summary:
    """Read what it printed.

    Raises:
        SessionError: there is no time in it.
    """
    init, first, warmup, mean = _closing(output)
    if mean is None:
        raise no_times(NAME, output)
    timed = _timed(output)
    return Summary(
        tool=NAME,
        init_ms=init,
        first_ms=first,
        warmup_ms=warmup,
        count=_count(output),
        mean_ms=timed.get("avg", mean),
        min_ms=timed.get("min"),
        max_ms=timed.get("max"),
        std_ms=timed.get("std"),
        p5_ms=timed.get("p5"),
        p50_ms=timed.get("median"),
        p95_ms=timed.get("p95"),
        peak_memory_bytes=size(r"(?:via periodic monitoring:|Peak memory:)\s+#", output, unit=MIB),
        footprint_bytes=size(r"(?:\(MB\): init=\S+ overall=|Overall footprint:\s+)#", output, unit=MIB),
    )


def _closing(output: str) -> list[float | None]:
    """Initialization, first inference, and means of the warm-up and the timed runs, in milliseconds."""
    if first := _FIRST_GENERATION.search(output):
        return [float(text) * _MS_PER_US for text in first.groups()]
    return [number(pattern, output) for pattern in _SECOND_GENERATION]


def _count(output: str) -> int | None:
    found = number("^count=#", _line(output))
    return int(found) if found else None


def _timed(output: str) -> dict[str, float]:
    """Statistics of the timed runs by their names, in milliseconds; empty where none are printed."""
    return {
        name: float(text) * _MS_PER_US
        for name, text in re.findall(rf"\b(\w+)={NUMBER}", _line(output), re.ASCII)
    }


def _line(output: str) -> str:
    lines = _STATISTICS.findall(output)
    return str(lines[-1]) if lines else ""
