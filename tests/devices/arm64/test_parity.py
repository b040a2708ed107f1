"""Artifacts on ARM's own kernels, under emulation: the official aarch64 runtimes in the bundle for phones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mobilevit_deploy.devices.arm64.emulator import Emulator
from mobilevit_deploy.devices.native import commands, output
from mobilevit_deploy.devices.native.runtimes import RUNTIMES
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.parity.compare import compare
from mobilevit_deploy.target import get_target

LIMIT_S = 120.0

runtimes = pytest.mark.parametrize(
    ("runtime", "target"), [pytest.param(r.name, r.target, id=r.target) for r in RUNTIMES]
)
precisions = pytest.mark.parametrize("precision", ["fp32", "int8"])


@pytest.fixture
def on_device(emulator: Emulator, raw_cases: Callable) -> Callable[..., tuple[str, dict[str, str]]]:
    """Push an artifact and its inputs; gives their paths there."""

    def push(target: str, precision: str = "fp32") -> tuple[str, dict[str, str]]:
        cases = raw_cases(target, precision)
        model = f"{emulator.folder}/{cases.model.name}"
        emulator.push(cases.model, model)
        inputs = {name: f"{emulator.folder}/{target} {name}.raw" for name in cases.inputs}
        for name, path in cases.inputs.items():
            emulator.push(path, inputs[name])
        return model, inputs

    return push


@pytest.mark.parametrize(
    ("runtime", "target", "precision"),
    [
        pytest.param("litert", "tflite", "fp32", id="tflite-fp32"),
        pytest.param("litert", "tflite", "int8", id="tflite-int8"),
        pytest.param("onnxruntime", "onnx", "fp32", id="onnx-fp32"),
        pytest.param("onnxruntime", "onnx", "int8", id="onnx-int8"),
        pytest.param("executorch", "executorch", "fp32", id="executorch-fp32"),
        pytest.param("executorch", "executorch", "int8-dynamic", id="executorch-int8-dynamic"),
        pytest.param("executorch", "executorch", "int8", id="executorch-int8"),
    ],
)
def test_an_artifact_computes_on_arm_what_it_computes_here(
    runtime: str,
    target: str,
    precision: str,
    emulator: Emulator,
    pushed: Callable,
    on_device: Callable,
    raw_cases: Callable,
) -> None:
    cases = raw_cases(target, precision)
    model, inputs = on_device(target, precision)
    files = {path: f"{path}.out" for path in inputs.values()}
    told = emulator.run([*pushed(runtime), *commands.outputs(model, files)], timeout_s=LIMIT_S)
    answer = output.read(told, output.Outputs)
    declared = cases.exported.manifest.outputs
    produced = [
        (np.frombuffer(emulator.pull(path), declared[0].dtype).reshape(declared[0].shape),)
        for path in files.values()
    ]
    assert answer.output_bytes == produced[0][0].nbytes
    parity = compare(
        declared,
        list(cases.inputs),
        cases.expected,
        produced,
        tolerance=get_target(target).precisions[cases.exported.manifest.precision],
        engine=f"{runtime} on {emulator.cpu.name}",
    )
    assert parity.verdict == "pass", parity.reasons


@precisions
@runtimes
def test_instructions_are_the_same_whenever_they_are_counted(
    runtime: str, target: str, precision: str, emulator: Emulator, pushed: Callable, on_device: Callable
) -> None:
    model, inputs = on_device(target, precision)
    command = [*pushed(runtime), *commands.count(model, next(iter(inputs.values())), inferences=3)]
    once, again = (emulator.count(command, timeout_s=LIMIT_S) for _ in range(2))
    assert once == pytest.approx(again, rel=1e-3)
    first, *steady = once
    assert steady == pytest.approx([steady[0]] * len(steady), rel=1e-3)
    # The first does what a runtime puts off; millions at least, or nothing was computed.
    assert first >= steady[0] > 1e6


@runtimes
def test_a_processor_without_dot_products_takes_more_instructions_in_int8(
    runtime: str, target: str, emulator: Emulator, pushed: Callable, on_device: Callable
) -> None:
    model, inputs = on_device(target, "int8")
    command = [*pushed(runtime), *commands.count(model, next(iter(inputs.values())), inferences=2)]
    with Emulator("cortex-a53") as older:
        # Both see the same host: a device's files may be read by another.
        assert (
            older.count(command, timeout_s=LIMIT_S)[-1] > 1.1 * emulator.count(command, timeout_s=LIMIT_S)[-1]
        )


@runtimes
def test_the_other_modes_answer_there_as_here(
    runtime: str, target: str, emulator: Emulator, pushed: Callable, on_device: Callable
) -> None:
    model, inputs = on_device(target)
    pixels = next(iter(inputs.values()))
    threads = 1 if runtime == "executorch" else 2
    timed = commands.time(model, pixels, samples=2, threads=threads, cores=1)
    times = output.read(emulator.run([*pushed(runtime), *timed], timeout_s=LIMIT_S), output.Times)
    assert times.affinity == "1"
    assert len(times.samples_ms) == 2
    memory = emulator.run([*pushed(runtime), *commands.memory(model, pixels)], timeout_s=LIMIT_S)
    assert output.read(memory, output.Memory).runtime == runtime


def test_more_threads_than_the_runner_of_executorch_has_are_refused(
    emulator: Emulator, pushed: Callable, on_device: Callable
) -> None:
    model, inputs = on_device("executorch")
    command = commands.memory(model, next(iter(inputs.values())), threads=2)
    with pytest.raises(SessionError, match="on 1 thread here, not on 2"):
        output.read(emulator.run([*pushed("executorch"), *command], timeout_s=LIMIT_S), output.Memory)


@runtimes
def test_a_truncated_model_ends_the_runner_with_its_own_words(
    runtime: str, target: str, emulator: Emulator, pushed: Callable, on_device: Callable, tmp_path
) -> None:
    model, inputs = on_device(target)
    (tmp_path / "half").write_bytes(emulator.pull(model)[:100_000])
    emulator.push(tmp_path / "half", f"{model}.half")
    command = [*pushed(runtime), *commands.count(f"{model}.half", next(iter(inputs.values())), inferences=1)]
    with pytest.raises(SessionError, match=r"cannot load|damaged"):
        emulator.count(command, timeout_s=LIMIT_S)
