"""The runner on this machine: the same sources as on a phone, with the libraries that are installed here."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilevit_deploy.bench import sampling
from mobilevit_deploy.devices.native import commands, output
from mobilevit_deploy.devices.native.runtimes import RUNTIMES
from mobilevit_deploy.errors import SessionError

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="compiled for x86-64"),
    # ExecuTorch's wheel for x86-64 is cut otherwise, and its library shares its core with that of a Qualcomm
    # backend: tests/devices/arm64 runs that engine.
    pytest.mark.parametrize(
        ("runtime", "target"),
        [pytest.param(r.name, r.target, id=r.target) for r in RUNTIMES if not r.headers],
    ),
]


def test_it_computes_what_the_session_computes(
    runtime: str, target: str, runner: Callable, raw_cases: Callable, tmp_path: Path
) -> None:
    cases = raw_cases(target)
    files = {str(path): str(tmp_path / name) for name, path in cases.inputs.items()}
    answer = output.read(runner(runtime, commands.outputs(str(cases.model), files)), output.Outputs)
    assert answer.runtime == runtime
    for name, (wanted,) in zip(cases.inputs, cases.expected, strict=True):
        produced = np.fromfile(tmp_path / name, wanted.dtype)
        assert produced.nbytes == answer.output_bytes
        np.testing.assert_allclose(produced, wanted.ravel(), rtol=0, atol=1e-4 * np.ptp(wanted))


def test_it_takes_as_many_samples_as_asked_after_a_warm_up_by_the_rule(
    runtime: str, target: str, runner: Callable, raw_cases: Callable
) -> None:
    cases = raw_cases(target)
    told = runner(runtime, commands.time(str(cases.model), str(cases.input), samples=20))
    times = output.read(told, output.Times)
    assert len(times.samples_ms) == 20
    _assert_by_the_rule(times.warmup_ms)
    assert times.load_ms > statistics.median(times.samples_ms)


def test_a_warm_up_ends_at_its_limits(
    runtime: str, target: str, runner: Callable, raw_cases: Callable
) -> None:
    model, pixels = str(raw_cases(target).model), str(raw_cases(target).input)
    never_steady = ["5", "1000", "1"]  # window, speeding up, least ms
    few = runner(runtime, [model, "1", "-", "time", pixels, "1", *never_steady, "60000", "7"])
    assert len(output.read(few, output.Times).warmup_ms) == 7
    short = runner(runtime, [model, "1", "-", "time", pixels, "1", *never_steady, "20", "100000"])
    warmup = output.read(short, output.Times).warmup_ms
    assert sum(warmup) >= 20 > sum(warmup[:-1])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is no choice")
def test_the_cores_asked_for_are_those_in_force(
    runtime: str, target: str, runner: Callable, raw_cases: Callable
) -> None:
    cases = raw_cases(target)
    core = max(os.sched_getaffinity(0))
    pinned = commands.memory(str(cases.model), str(cases.input), threads=2, cores=1 << core)
    assert int(output.read(runner(runtime, pinned), output.Memory).affinity, 16) == 1 << core
    free = commands.memory(str(cases.model), str(cases.input))
    mask = sum(1 << core for core in os.sched_getaffinity(0))
    assert int(output.read(runner(runtime, free), output.Memory).affinity, 16) == mask


def test_memory_grows_from_the_library_to_the_running_model(
    runtime: str, target: str, runner: Callable, raw_cases: Callable
) -> None:
    cases = raw_cases(target)
    told = runner(runtime, commands.memory(str(cases.model), str(cases.input)))
    memory = output.read(told, output.Memory)
    assert memory.library_rss_bytes is not None
    assert memory.peak_rss_bytes is not None
    assert memory.pss_bytes is not None
    # The weights are read in, packed for the processor or mapped from the file.
    assert memory.peak_rss_bytes - memory.library_rss_bytes > 0.8 * cases.model.stat().st_size
    assert memory.pss_bytes <= memory.peak_rss_bytes * 1.05


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.8])
def test_a_truncated_model_ends_it_with_one_line(
    share: float, runtime: str, target: str, runner: Callable, raw_cases: Callable, damaged: Callable
) -> None:
    cases = raw_cases(target)
    told = runner(runtime, commands.memory(str(damaged(cases.model, share)), str(cases.input)))
    assert told.code == 1
    assert [line[:5] for line in told.stderr.splitlines()].count("run: ") == 1
    with pytest.raises(SessionError, match=r"cannot load|cannot prepare|damaged|has no signature"):
        output.read(told, output.Memory)


def test_an_input_of_another_size_is_refused_with_both_sizes(
    runtime: str, target: str, runner: Callable, raw_cases: Callable, damaged: Callable
) -> None:
    cases = raw_cases(target)
    half = damaged(cases.input, 0.5)
    size = cases.input.stat().st_size
    told = runner(runtime, commands.memory(str(cases.model), str(half)))
    with pytest.raises(SessionError, match=rf"the input has {size // 2} bytes, and the model takes {size}"):
        output.read(told, output.Memory)


def test_whatever_is_missing_is_named(
    runtime: str, target: str, runner: Callable, raw_cases: Callable, tmp_path: Path
) -> None:
    cases = raw_cases(target)
    model, pixels = str(cases.model), str(cases.input)
    fine = commands.memory(model, pixels)
    nowhere = str(tmp_path / "no" / "where")
    for told, words in (
        (runner(runtime, fine, library=nowhere), f"{nowhere} cannot be loaded"),
        (runner(runtime, fine, library="libm.so.6"), "libm.so.6 has no function"),
        (runner(runtime, commands.memory(model, nowhere)), f"{nowhere} cannot be opened: No such file"),
        (runner(runtime, commands.memory(nowhere, pixels)), "no/where"),
        (runner(runtime, commands.outputs(model, {pixels: nowhere})), f"{nowhere} cannot be written"),
        (runner(runtime, commands.memory(model, pixels, cores=1 << 900)), "core mask"),
        (runner(runtime, commands.memory(model, pixels, threads=0)), "THREADS must be a whole number"),
        (runner(runtime, [model, "1", "-", "dance"]), "there is no mode 'dance'"),
        (runner(runtime, [model, "1", "-", "memory"]), "expected: run LIBRARY MODEL THREADS CORES memory IN"),
    ):
        with pytest.raises(SessionError) as failure:
            output.read(told, output.Memory)
        assert words in failure.value.problem


def _assert_by_the_rule(warmup: tuple[float, ...]) -> None:
    window = sampling.WINDOW
    ended = len(warmup) >= sampling.WARMUP_MOST or sum(warmup) >= sampling.WARMUP_MOST_MS
    for count in range(2 * window, len(warmup) + 1):
        before, last = warmup[count - 2 * window : count - window], warmup[count - window : count]
        steady = statistics.median(last) >= sampling.SPEEDING_UP * statistics.median(before)
        over = steady and sum(warmup[:count]) >= sampling.WARMUP_LEAST_MS
        # Over at its end, and not before.
        assert over == (count == len(warmup)) or (ended and count == len(warmup))
