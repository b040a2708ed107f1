"""``onnxruntime_perf_test``.

Its closing lines are those of microsoft/onnxruntime, ``onnxruntime/test/perftest/performance_runner.cc`` and
``performance_result.h``: milliseconds for means, seconds for percentiles, which it prints with ``-s``. It
warms up with one inference, whose time it rounds to a millisecond; inputs are random (``-I``).
"""

from __future__ import annotations

from mobilevit_deploy.devices.vendor.run import Run
from mobilevit_deploy.devices.vendor.summary import Summary, no_times, number, size

NAME = "onnxruntime_perf_test"

_S = 1e3


def command(run: Run) -> list[str]:
    """Its command line."""
    return run.pinned("-m", "times", "-r", str(run.runs), "-x", str(run.threads), "-s", "-I", run.model)


def parse(output: str) -> Summary:
    """Read what it printed.

    Raises:
        SessionError: there is no time in it.
    """
    # Newer versions say "cost total", for they may count the time until a request is taken as well.
    mean = number(r"Average inference time cost(?: total)?: # ms", output)
    if mean is None:
        raise no_times(NAME, output)
    count = number(r"Total inference requests: #", output)
    return Summary(
        tool=NAME,
        init_ms=number(r"Session creation time cost: # s", output, scale=_S),
        first_ms=number(r"First inference time cost: # ms", output),
        count=int(count) if count else None,
        mean_ms=mean,
        min_ms=number(r"Min Latency: # s", output, scale=_S),
        max_ms=number(r"Max Latency: # s", output, scale=_S),
        p50_ms=number(r"P50 Latency: # s", output, scale=_S),
        p90_ms=number(r"P90 Latency: # s", output, scale=_S),
        p95_ms=number(r"P95 Latency: # s", output, scale=_S),
        p99_ms=number(r"P99 Latency: # s", output, scale=_S),
        peak_memory_bytes=size(r"Peak working set size: # bytes", output),
    )
