"""What the harness adds to a latency: its median beside that of a bare loop, in one process, in turns.

    python -m benchmarks.harness_overhead exports/*.onnx exports/*.tflite

For each file: the Python harness (``bench.sampling``) against calls of the same session in a loop that does
nothing else. Exit code 1 if a difference exceeds 1 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from time import perf_counter_ns

from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.bench.sampling import sample
from mobilevit_deploy.devices.runner import noise
from mobilevit_deploy.target import Session, get_target

ALLOWED = 0.01


class Kept:
    """A session that stays open: both loops run the same memory."""

    def __init__(self, session: Session) -> None:
        self.run, self.engine, self.measurable = session.run, session.engine, session.measurable

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=50)
    arguments = parser.parse_args()
    worst = max(_difference(path, arguments.rounds, arguments.samples) for path in arguments.files)
    sys.exit(worst > ALLOWED)


def _difference(path: Path, rounds: int, count: int) -> float:
    artifact, manifest = open_artifact(path)
    session = get_target(manifest.target).open_session(artifact)
    inputs = noise(artifact)
    ratios = []
    for _ in range(rounds):
        harness = statistics.median(sample(lambda: Kept(session), inputs, count).samples_ms)
        bare = _bare(session, inputs, count)
        ratios.append(harness / bare)
    session.close()
    ratio = statistics.median(ratios)
    print(f"{path.name}: harness / bare loop {ratio:.4f} ({min(ratios):.4f} to {max(ratios):.4f})")
    return abs(ratio - 1)


def _bare(session: Session, inputs: tuple[object, ...], count: int) -> float:
    run = session.run
    durations = []
    for _ in range(count):
        begin = perf_counter_ns()
        run(*inputs)  # type: ignore[arg-type]
        durations.append(perf_counter_ns() - begin)
    return statistics.median(durations) / 1e6


if __name__ == "__main__":
    main()
