"""Parity of every preset in every precision of every target, through the command that users run.

    make bench        # or: python -m benchmarks.presets --preset xxs --target onnx

XXS is the bundled model, held to the accuracy gate as well. XS and S have random weights whose BatchNorm
statistics are those of photographs: they prove arithmetic and size, and have no accuracy to be judged by.
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
    print(
        f"{'preset':8}{'target':12}{'precision':14}{'parity':9}{'SQNR dB':>9}{'extremes':>10}{'alike':>8}"
        f"{'MB':>8}{'s':>7}"
    )
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
        f"{name}{manifest['parity']['verdict']:9}{output['sqnr_db']:9.1f}{output['extremes_sqnr_db']:10.1f}"
        f"{output['top1_agreement']:8.1%}"
        f"{manifest['bytes'] / 1e6:8.2f}{sum(made['seconds'].values()):7.1f}"
    )
    accuracy = manifest["accuracy"] or {"verdict": "not-run", "reasons": []}
    failed = [checked for checked in (manifest["parity"], accuracy) if checked["verdict"] == "fail"]
    for checked in failed:
        for reason in checked["reasons"]:
            print(f"          {reason}")
    return bool(failed) or manifest["parity"]["verdict"] != "pass"


if __name__ == "__main__":
    main()
