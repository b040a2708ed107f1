"""``bench`` on a phone, end to end: the real adb, the official aarch64 runtimes, the demo model.

The phone is a daemon on loopback which starts ARM programs under emulation. Its times are nobody's; that they
are taken, refused, repeated and resumed as they should be is what is tested.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices.adb.conftest import Phone
from mobilevit_deploy import export
from mobilevit_deploy.artifact import digest, manifest_path, read_manifest
from mobilevit_deploy.bench import readiness
from mobilevit_deploy.bench.measurement import Checked, Quoted, Timing
from mobilevit_deploy.bench.records import read_measurements
from mobilevit_deploy.bench.schedule import Progress, run
from mobilevit_deploy.devices.adb import AdbTransport
from mobilevit_deploy.devices.adb.runner import AdbRunner
from mobilevit_deploy.devices.arm64 import cpus
from mobilevit_deploy.devices.arm64.qemu import Qemu, qemu
from mobilevit_deploy.errors import DeviceLostError, UsageError

GOLDEN = Path(__file__).parents[2] / "golden" / "android"
QUICK: dict[str, Any] = {"rounds": 2, "samples": 2, "memory": False}
COOL, HOT = "Thermal Status: 0\n", "Thermal Status: 2\n"


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def emulator(or_skip: Callable) -> Qemu:
    return or_skip(qemu)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo model at 32 px: emulation is slow."""
    folder = tmp_path_factory.mktemp("small")
    return {target: export(target=target, image_size=32, output=folder).path for target in ("onnx", "tflite")}


@pytest.fixture
def pixel(connect: Callable[..., Phone], emulator: Qemu, tmp_path: Path) -> Phone:
    """A phone that tells all, and runs ARM programs."""
    root = tmp_path / "arm"
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cpuinfo").write_text(cpus.get_cpu(cpus.DEFAULT).cpuinfo(), encoding="utf-8")
    phone = connect(emulator=(*emulator.argv, "-cpu", cpus.DEFAULT, "-L", str(root)))
    phone.device.answers("getprop", {"": golden("getprop_14")})
    phone.device.answers(
        "dumpsys",
        {"battery": golden("battery_14"), "thermalservice": COOL, "power": golden("power_14")},
    )
    phone.device.answers("settings", {"get": "null\n"})
    return phone


def lying_there(phone: Phone, folder: str) -> list[str]:
    found = phone.device.local(f"{AdbTransport.folder}/{folder}")
    return sorted(path.name for path in found.iterdir()) if found.exists() else []


def test_the_command_proves_times_and_tidies_up(
    pixel: Phone, small: dict[str, Path], cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    options = ("--rounds", "2", "--samples", "2", "--precision", "off", "--results", "raw.jsonl")
    done = cli("bench", *small.values(), "--device", f"adb:{pixel.serial}", *options, timeout=500)
    assert done.returncode == 0, done.stderr
    measured = read_measurements(tmp_path / "raw.jsonl")
    kinds = [(each.subject.target, each.outcome.status) for each in measured]
    assert kinds == [
        ("onnx", "checked"),
        ("tflite", "checked"),
        *[("onnx", "timed"), ("tflite", "timed")] * 2,
        ("onnx", "weighed"),
        ("tflite", "weighed"),
    ]
    assert {(each.device, each.context) for each in measured} == {(f"adb:{pixel.serial}", "adb-shell")}
    proofs = [each.outcome.parity for each in measured if isinstance(each.outcome, Checked)]
    assert [proof.verdict for proof in proofs] == ["pass", "pass"]
    assert [proof.engine.split()[0] for proof in proofs] == ["onnxruntime", "litert"]
    assert {len(output.cases) for proof in proofs for output in proof.outputs} == {23}
    timings = [each.timing for each in measured if each.timing]
    assert {timing.machine.name for timing in timings} == {"Google Pixel 8"}
    assert all(timing.before.battery == 1.0 and timing.after.thermal_status == 0 for timing in timings)
    assert lying_there(pixel, "jobs") == []
    assert len(lying_there(pixel, "artifacts")) == 2


def test_what_lies_there_already_is_not_pushed_again(pixel: Phone, small: dict[str, Path]) -> None:
    once = QUICK | {"rounds": 1}
    run([small["onnx"]], devices=[AdbRunner(pixel.serial)], **once)
    lying = pixel.device.local(f"{AdbTransport.folder}/artifacts/{digest(small['onnx'])}")
    before = lying.stat().st_ino
    run([small["onnx"]], devices=[AdbRunner(pixel.serial)], **once)
    assert lying.stat().st_ino == before


def test_an_artifact_that_is_wrong_there_gets_a_verdict_and_no_latency(
    pixel: Phone, small: dict[str, Path], tmp_path: Path
) -> None:
    """Its manifest says that it passed: what another machine found is not what this phone computes."""
    import onnx

    damaged = tmp_path / small["onnx"].name
    graph = onnx.load(small["onnx"])
    weights = max(graph.graph.initializer, key=lambda each: len(each.raw_data))
    weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(graph, damaged)
    manifest = read_manifest(small["onnx"])
    changes = {"sha256": digest(damaged), "bytes": damaged.stat().st_size}
    manifest_path(damaged).write_text(manifest.model_copy(update=changes).model_dump_json(), encoding="utf-8")
    (checked,) = run([damaged], devices=[AdbRunner(pixel.serial)], **QUICK)
    assert isinstance(checked.outcome, Checked)
    assert checked.outcome.parity.verdict == "fail"
    assert checked.outcome.parity.engine.startswith("onnxruntime")


def test_a_phone_that_gets_warm_is_left_to_cool_and_measured_again(
    pixel: Phone, small: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "LOOK_EVERY_S", 0.1)
    # Settled, before and after round 1; settled, before, and hot after round 2; still hot; cool again.
    thermal = [COOL] * 5 + [HOT] * 2 + [COOL]
    pixel.device.answers("dumpsys", {"battery": golden("battery_14"), "thermalservice": thermal})
    told: list[Progress] = []
    made = run([small["onnx"]], devices=[AdbRunner(pixel.serial)], on_progress=told.append, **QUICK)
    timings = [(each.round, each.outcome.invalid) for each in made if isinstance(each.outcome, Timing)]
    assert [number for number, _ in timings] == [1, 2, 2]
    assert ["status rose to 2" in why for _, why in timings] == [False, True, False]
    assert any("to cool" in step.doing for step in told)


def test_a_pulled_cable_costs_the_measurement_in_flight(
    pixel: Phone, small: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "raw.jsonl"

    def pull_the_cable_in_round_2(at: Progress) -> None:
        if at.doing == "round 2":
            pixel.daemon.faults.drop_after_sent = 100

    with pytest.raises(DeviceLostError):
        run(
            [small["onnx"]],
            devices=[AdbRunner(pixel.serial)],
            output=output,
            on_progress=pull_the_cable_in_round_2,
            **QUICK,
        )
    assert [each.outcome.status for each in read_measurements(output)] == ["checked", "timed"]
    pixel.wait()
    made = run([small["onnx"]], devices=[AdbRunner(pixel.serial)], output=output, resume=True, **QUICK)
    assert [(each.outcome.status, each.round) for each in made] == [
        ("checked", 1),
        ("timed", 1),
        ("timed", 2),
    ]
    assert json.loads(output.read_text().splitlines()[-1])["round"] == 2


def test_a_vendors_own_tool_is_run_there_and_quoted(
    pixel: Phone, small: dict[str, Path], tmp_path: Path
) -> None:
    """The tool is a script that prints what benchmark_model does."""
    pixel.device.program("taskset", 'shift; exec "$@"')
    told = (GOLDEN.parent / "vendor" / "benchmark_model_litert.txt").read_text(encoding="utf-8")
    tool = tmp_path / "benchmark_model"
    script = f"#!/bin/sh\ntest -f \"${{1#--graph=}}\" || exit 1\ncat <<'END'\n{told}\nEND\n"
    tool.write_text(script, encoding="utf-8")
    made = run([small["tflite"]], devices=[AdbRunner(pixel.serial, tools=[tool])], **QUICK | {"rounds": 1})
    assert [each.work for each in made] == ["parity", "time", "tool"]
    assert isinstance(made[-1].outcome, Quoted)
    assert made[-1].outcome.summary.tool == "benchmark_model"
    assert lying_there(pixel, "jobs") == []


@pytest.mark.parametrize("name", ["bench_model", "benchmark_model"])
def test_a_file_that_is_no_tool_is_refused(phone: Phone, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name} (is no file|has the name of no tool)"):
        AdbRunner(phone.serial, tools=[tmp_path / name])
