"""``executor_runner`` of ExecuTorch.

Its lines are those of pytorch/executorch, ``examples/portable/executor_runner/executor_runner.cpp``, which it
logs to the error output. It has no warm-up: its first iteration is the first inference, and counts as that
here. Before each iteration it sets the inputs to ones, outside of the clock.
"""

from __future__ import annotations

import re
import statistics

from mobilevit_deploy.devices.vendor.run import Run
from mobilevit_deploy.devices.vendor.summary import NUMBER, Summary, no_times, number

NAME = "executor_runner"

_ITERATION = re.compile(rf"Iteration \d{{1,9}} of \d{{1,9}}: {NUMBER} ms", re.ASCII)

_TOTAL = re.compile(rf"executed successfully (\d{{1,9}}) time\(s\) in {NUMBER} ms", re.ASCII)


def command(run: Run) -> list[str]:
    """Its command line."""
    return run.pinned(
        f"--model_path={run.model}", f"--num_executions={run.runs}", f"--cpu_threads={run.threads}"
    )


def parse(output: str) -> Summary:
    """Read what it printed; versions that print no iterations give a mean over all of them alone.

    Raises:
        SessionError: there is no time in it: it failed, or is of a version that prints none.
    """
    # Whoever was killed in the middle printed iterations too: only the closing line says that it ended.
    total = _TOTAL.search(output)
    if total is None or int(total[1]) == 0:
        raise no_times(NAME, output)
    count, load = int(total[1]), number(r"Model loaded in # ms", output)
    iterations = tuple(float(text) for text in _ITERATION.findall(output))
    first, samples = (iterations[0], iterations[1:]) if iterations else (None, ())
    if not samples:
        mean = float(total[2]) / count
        return Summary(tool=NAME, init_ms=load, first_ms=first, count=count, mean_ms=mean)
    return Summary(
        tool=NAME,
        init_ms=load,
        first_ms=first,
        count=len(samples),
        mean_ms=statistics.fmean(samples),
        min_ms=min(samples),
        max_ms=max(samples),
        std_ms=statistics.pstdev(samples),
        samples_ms=samples,
    )
