"""How long an export of the bundled model to all four targets takes, and which stage dominates.

    make bench        # or: python benchmarks/export_time.py --runs 3

Runs the command that users run, ``mobilevit-deploy export --target all``, as a process, several times, and
prints the wall time of each run and the stages of the run with the median time.
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
from pathlib import Path
from typing import Any

BUDGET_S = 90


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every run's stages and the machine to this file")
    arguments = parser.parse_args()

    runs = [_export_all() for _ in range(arguments.runs)]
    walls = [run["wall_s"] for run in runs]
    median = statistics.median_low(walls)
    print(f"\n{os.cpu_count()} cores, {platform.processor() or platform.machine()}")
    print(
        f"wall time of {len(walls)} runs: {', '.join(f'{wall:.1f}' for wall in walls)} s; median {median:.1f}"
    )
    print(f"budget: {BUDGET_S} s on 2 cores\n")
    _print_stages(next(run for run in runs if run["wall_s"] == median))
    if arguments.json:
        environment = {"cores": os.cpu_count(), "platform": platform.platform(), "python": sys.version}
        arguments.json.write_text(json.dumps({"environment": environment, "runs": runs}, indent=2) + "\n")


def _export_all() -> dict[str, Any]:
    command = str(Path(sys.executable).with_name("mobilevit-deploy"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        done = subprocess.run(
            [command, "export", "--target", "all", "--output", folder, "--json"],
            stdout=subprocess.PIPE,
            check=True,
        )
        wall = time.monotonic() - started
    exports = json.loads(done.stdout)["exports"]
    return {"wall_s": round(wall, 2), "stages": {export["target"]: export["seconds"] for export in exports}}


def _print_stages(run: dict[str, Any]) -> None:
    stages = list(dict.fromkeys(stage for seconds in run["stages"].values() for stage in seconds))
    print(f"{'seconds':12}" + "".join(f"{stage:>10}" for stage in stages))
    for target, seconds in run["stages"].items():
        print(f"{target:12}" + "".join(f"{seconds.get(stage, 0):10.1f}" for stage in stages))


if __name__ == "__main__":
    main()
