"""Parity of every preset in every precision of every target, through the command that users run.

    make bench        # or: python -m benchmarks.presets --preset xxs --target onnx

XXS is the bundled model, held to the accuracy gate as well. XS and S have random weights whose BatchNorm
statistics are those of photographs: they prove arithmetic and size, and their answers mean nothing, so that
their 8-bit files are not judged by accuracy, and their bound on decisions may fail where the numbers hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.comparison.checkpoints import calibrated

PRESETS = ("xxs", "xs", "s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", action="append", choices=PRESETS, help="default: all")
    parser.add_argument("--target", action="append", help="default: all")
    arguments = parser.parse_args()
    print(f"{'preset':8}{'target':12}{'precision':14}{'parity':9}{'SQNR dB':>9}{'alike':>8}{'MB':>8}{'s':>7}")
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        for preset in arguments.preset or PRESETS:
            for made in _exports(preset, arguments.target or ["all"], Path(scratch)):
                failures += _print(preset, made)
    sys.exit(failures > 0)


def _exports(preset: str, targets: list[str], scratch: Path) -> list[dict[str, Any]]:
    model, judge = ("demo", "--gate") if preset == "xxs" else (_weights(preset, scratch), "--no-gate")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("mobilevit-deploy")),
            *("export", "--model", model, judge, "--precision", "all", "--output", str(scratch), "--json"),
            *(argument for target in targets for argument in ("--target", target)),
        ],
        stdout=subprocess.PIPE,
        check=False,
    )
    exports: list[dict[str, Any]] = json.loads(done.stdout)["exports"]
    return exports


def _weights(preset: str, scratch: Path) -> str:
    return str(calibrated(scratch / f"mobilevit-{preset}", preset))


def _print(preset: str, made: dict[str, Any]) -> bool:
    """One line; returns whether it tells of a failure."""
    name = f"{preset:8}{made['target']:12}{made['precision']:14}"
    if "error" in made:
        print(f"{name}error    {made['error']['problem']}")
        return True
    manifest = made["manifest"]
    (output,) = manifest["parity"]["outputs"]
    print(
        f"{name}{manifest['parity']['verdict']:9}{output['sqnr_db']:9.1f}{output['top1_agreement']:8.1%}"
        f"{manifest['bytes'] / 1e6:8.2f}{sum(made['seconds'].values()):7.1f}"
    )
    for reason in (*manifest["parity"]["reasons"], *((manifest["accuracy"] or {}).get("reasons", ()))):
        print(f"          {reason}")
    # Random weights decide nothing, and a file of them is right if its numbers are.
    wrong = [reason for reason in manifest["parity"]["reasons"] if "best class" not in reason]
    judged = manifest["accuracy"] is not None and manifest["accuracy"]["verdict"] == "fail"
    return bool(wrong if preset != "xxs" else manifest["parity"]["verdict"] != "pass" or judged)


if __name__ == "__main__":
    main()
