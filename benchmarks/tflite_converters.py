"""The ways to a .tflite file on the same weights: which is smallest, fastest, and quickest to make.

    python -m benchmarks.tflite_converters --rounds 5 --json converters.json

Each file is made by the command that users run, in a process of its own; then all files are timed in turns
(A B C A B C). MobileViT-S has random weights whose BatchNorm statistics were calibrated on photographs, so
that its activations are alive. A random head decides nothing: its 8-bit files fail the parity check's bound
on decisions, and are timed all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.comparison.checkpoints import calibrated
from mobilevit_deploy.artifact import read_manifest
from mobilevit_deploy.target import get_target

CONVERTERS = ("litert-torch", "keras", "keras-select-tf-ops")
PRECISIONS = ("fp32", "int8-dynamic")

_WARM_UP = 5


@dataclass
class Row:
    """One file."""

    model: str
    precision: str
    converter: str
    convert_s: float
    bytes: int
    sqnr_db: float | None
    rounds_ms: list[list[float]] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        return statistics.median(statistics.median(samples) for samples in self.rounds_ms)

    @property
    def least_ms(self) -> float:
        return min(min(samples) for samples in self.rounds_ms)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns a file")
    parser.add_argument("--samples", type=int, default=30, help="inferences a turn")
    parser.add_argument("--json", type=Path, help="write every sample and the machine to this file")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        rows = _exported(Path(folder))
        for _ in range(arguments.rounds):
            for path, row in rows.items():
                row.rounds_ms.append(_timed(path, arguments.samples))
    _print(list(rows.values()))
    if arguments.json:
        environment = {"cores": os.cpu_count(), "platform": platform.platform(), "python": sys.version}
        content = {"environment": environment, "files": [asdict(row) for row in rows.values()]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def _exported(folder: Path) -> dict[Path, Row]:
    rows = {}
    for model in ("demo", str(calibrated(folder / "mobilevit-s", classes=12))):
        for precision in PRECISIONS:
            for converter in CONVERTERS:
                path, seconds = _export(model, precision, converter, folder / "exports")
                manifest = read_manifest(path)
                rows[path] = Row(
                    manifest.model.name,
                    precision,
                    converter,
                    seconds,
                    manifest.bytes,
                    manifest.parity.outputs[0].sqnr_db,
                )
    return rows


def _timed(path: Path, samples: int) -> list[float]:
    """Milliseconds of each inference, after some to warm up."""
    artifact = read_manifest(path).artifact(path.parent)
    picture = np.random.default_rng(0).integers(0, 256, artifact.inputs[0].shape, dtype=np.uint8)
    session = get_target("tflite").open_session(artifact, threads=1)
    taken = []
    for _ in range(_WARM_UP + samples):
        started = time.perf_counter()
        session.run(picture)
        taken.append(round(1000 * (time.perf_counter() - started), 3))
    session.close()
    return taken[_WARM_UP:]


def _export(model: str, precision: str, converter: str, output: Path) -> tuple[Path, float]:
    """The file, and the seconds from loading the converter to the file on disk."""
    command = [str(Path(sys.executable).with_name("mobilevit-deploy")), "export", "--target", "tflite"]
    options = ["--model", model, "--precision", precision, "--converter", converter, "--output", str(output)]
    # Random weights decide nothing, and have no labelled pictures to be judged on.
    done = subprocess.run([*command, *options, "--no-gate", "--json"], stdout=subprocess.PIPE, check=False)
    (export,) = json.loads(done.stdout)["exports"]
    return Path(export["path"]), export["seconds"]["convert"]


def _print(rows: list[Row]) -> None:
    print(f"\n{os.cpu_count()} cores, {platform.processor() or platform.machine()}, 1 thread, 256x256")
    heads = f"{'model':22}{'precision':14}{'converter':21}{'median ms':>10}{'least':>7}"
    print(f"{heads}{'MB':>8}{'SQNR dB':>9}{'convert s':>11}")
    for row in rows:
        noise = "" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
        print(
            f"{row.model:22}{row.precision:14}{row.converter:21}"
            f"{row.median_ms:10.2f}{row.least_ms:7.2f}{row.bytes / 1e6:8.2f}{noise:>9}{row.convert_s:11.1f}"
        )


if __name__ == "__main__":
    main()
