"""What a runner is told, after ``Bundle.argv``: one function a mode, as ``source/main.c`` reads them.

Paths are the device's. ``cores`` is a mask, bit 0 the first core; None leaves the choice to the scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping

from mobilevit_deploy.bench import sampling


def outputs(model: str, files: Mapping[str, str], *, threads: int = 1, cores: int | None = None) -> list[str]:
    """Run each input once; ``files`` maps an input's path to that of the output to write."""
    pairs = [path for pair in files.items() for path in pair]
    return [*_begin(model, threads, cores), "outputs", *pairs]


def time(
    model: str, input_file: str, *, samples: int, threads: int = 1, cores: int | None = None
) -> list[str]:
    """Time load, first inference, warm-up by ``sampling.WARMUP_RULE``, and ``samples`` steady inferences."""
    rule = (
        sampling.WINDOW,
        sampling.SPEEDING_UP,
        sampling.WARMUP_LEAST_MS,
        sampling.WARMUP_MOST_MS,
        sampling.WARMUP_MOST,
    )
    return [*_begin(model, threads, cores), "time", input_file, str(samples), *map(str, rule)]


def memory(model: str, input_file: str, *, threads: int = 1, cores: int | None = None) -> list[str]:
    """Load and run a few times, and read the process's memory."""
    return [*_begin(model, threads, cores), "memory", input_file]


def count(model: str, input_file: str, *, inferences: int) -> list[str]:
    """Mark ``inferences`` inferences for an instruction counter; one thread, or the counts would vary."""
    return [*_begin(model, 1, None), "count", input_file, str(inferences)]


def _begin(model: str, threads: int, cores: int | None) -> list[str]:
    return [model, str(threads), "-" if cores is None else f"{cores:x}"]
