"""What the vendors' tools print, in each of their generations, and how they are started."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.devices.vendor import TOOLS, Run
from mobilevit_deploy.errors import SessionError

GOLDEN = Path(__file__).parents[2] / "golden" / "vendor"


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def parse(tool: str, name: str) -> dict[str, object]:
    """What is told of ``name``, without what is not."""
    summary = TOOLS[tool].parse(golden(name))
    assert summary.tool == tool
    return summary.model_dump(exclude={"tool"}, exclude_none=True, exclude_defaults=True)


def test_benchmark_model_before_percentiles() -> None:
    assert parse("benchmark_model", "benchmark_model_tflite") == pytest.approx(
        {
            "init_ms": 3.501,
            "first_ms": 156.677,
            "warmup_ms": 43.2681,
            "count": 50,
            "mean_ms": 33.0718,
            "min_ms": 32.687,
            "max_ms": 33.239,
            "std_ms": 0.129,
            "peak_memory_bytes": 13819917,
            "footprint_bytes": 8200189,
        }
    )


def test_benchmark_model_from_a_log() -> None:
    assert parse("benchmark_model", "benchmark_model_tflite_logcat") == pytest.approx(
        {
            "init_ms": 92.318,
            "first_ms": 235.158,
            "warmup_ms": 211.669,
            "count": 25,
            "mean_ms": 145.528,
            "min_ms": 140.071,
            "max_ms": 195.121,
            "std_ms": 13.583,
            "p5_ms": 140.545,
            "p50_ms": 141.253,
            "p95_ms": 187.533,
            "footprint_bytes": 76976174,
        }
    )


def test_benchmark_model_above_a_second() -> None:
    found = parse("benchmark_model", "benchmark_model_tflite_one_run")
    assert found["warmup_ms"] == pytest.approx(3512.39)
    assert found["mean_ms"] == pytest.approx(2950.34)
    assert found["footprint_bytes"] == 337 * 1024 * 1024


def test_benchmark_model_of_litert_is_read_before_it_rounds() -> None:
    assert parse("benchmark_model", "benchmark_model_litert") == pytest.approx(
        {
            "init_ms": 4.48,
            "first_ms": 1.03,
            "warmup_ms": 0.47,
            "count": 2112,
            "mean_ms": 0.464545,
            "min_ms": 0.442,
            "max_ms": 0.979,
            "std_ms": 0.013,
            "p5_ms": 0.460,
            "p50_ms": 0.462,
            "p95_ms": 0.478,
            "footprint_bytes": 12069110,
        }
    )


def test_closing_lines_alone_give_means() -> None:
    (closing,) = [line for line in golden("benchmark_model_tflite").splitlines() if "timings" in line]
    summary = TOOLS["benchmark_model"].parse(closing)
    assert summary.mean_ms == pytest.approx(33.0718)
    assert (summary.count, summary.min_ms, summary.p50_ms) == (None, None, None)


def test_onnxruntime_perf_test() -> None:
    assert parse("onnxruntime_perf_test", "onnxruntime_perf_test") == pytest.approx(
        {
            "init_ms": 217.932,
            "first_ms": 196,
            "count": 5,
            "mean_ms": 98.961997,
            "min_ms": 95.8204,
            "max_ms": 101.519,
            "p50_ms": 99.5086,
            "p90_ms": 101.519,
            "p95_ms": 101.519,
            "p99_ms": 101.519,
            "peak_memory_bytes": 271122432,
        }
    )


def test_onnxruntime_perf_test_of_old() -> None:
    assert parse("onnxruntime_perf_test", "onnxruntime_perf_test_old") == pytest.approx(
        {"init_ms": 27.3071, "first_ms": 20, "count": 8, "mean_ms": 17.735}
    )


def test_executor_runner_leaves_its_first_iteration_out_of_the_mean() -> None:
    summary = TOOLS["executor_runner"].parse(golden("executor_runner"))
    assert summary.init_ms == pytest.approx(46.268273)
    assert summary.first_ms == pytest.approx(41.944288)
    assert summary.samples_ms == (30, 32, 34)
    assert (summary.count, summary.mean_ms, summary.min_ms, summary.max_ms) == (3, 32, 30, 34)


def test_executor_runner_without_iterations_gives_the_mean_of_all() -> None:
    assert parse("executor_runner", "executor_runner_total") == pytest.approx(
        {"count": 10, "mean_ms": 0.691078}
    )


@pytest.mark.parametrize(
    ("tool", "output", "said"),
    [
        ("executor_runner", golden("executor_runner_untimed"), "Model file model.pte is loaded"),
        ("executor_runner", golden("executor_runner").partition("I 00:00:04.803590")[0], "threads = 1"),
        (
            "benchmark_model",
            "STARTING!\nERROR: Failed to load model\nBenchmarking failed.\n",
            "Failed to load",
        ),
        ("benchmark_model", golden("benchmark_model_tflite").partition("Inference timings")[0], "STARTING"),
        ("onnxruntime_perf_test", "/system/bin/sh: perf_test: not found\n", "perf_test: not found"),
        ("onnxruntime_perf_test", "", "printed no times"),
    ],
)
def test_what_holds_no_time_is_told_in_the_tools_words(tool: str, output: str, said: str) -> None:
    with pytest.raises(SessionError, match=f"{tool} printed no times") as untimed:
        TOOLS[tool].parse(output)
    assert said in untimed.value.problem


PIECES = st.lists(
    st.one_of(
        st.text(),
        st.integers().map(str),
        st.floats().map(str),
        st.sampled_from(
            [line for path in sorted(GOLDEN.glob("*.txt")) for line in path.read_text("utf-8").splitlines()]
            + ["\n", "count=0 ", "avg=", "1e99", " ms", "executed successfully 0 time(s) in 1 ms"]
        ),
    )
).map("\n".join)


@pytest.mark.parametrize("tool", TOOLS)
@given(output=st.one_of(PIECES, PIECES.map(lambda text: text.replace("\n", ""))))
def test_any_output_is_a_summary_or_an_error_of_the_session(tool: str, output: str) -> None:
    try:
        found = TOOLS[tool].parse(output)
    except SessionError:
        return
    assert found.mean_ms >= 0


def test_tools_are_started_on_the_cores_that_are_asked_for() -> None:
    run = Run(tool="/t/tool", model="/t/my model;x", threads=2, runs=50, mask="f0")
    assert TOOLS["benchmark_model"].command(run) == [
        "taskset",
        "f0",
        "/t/tool",
        "--graph=/t/my model;x",
        "--num_threads=2",
        "--num_runs=50",
    ]
    assert TOOLS["onnxruntime_perf_test"].command(run) == [
        *("taskset", "f0", "/t/tool", "-m", "times", "-r", "50", "-x", "2", "-s", "-I", "/t/my model;x"),
    ]
    assert TOOLS["executor_runner"].command(run)[3:] == [
        "--model_path=/t/my model;x",
        "--num_executions=50",
        "--cpu_threads=2",
    ]


def test_without_a_mask_all_cores_may_be_used() -> None:
    run = Run(tool="tool", model="m", threads=1, runs=1)
    assert all(tool.command(run)[0] == "tool" for tool in TOOLS.values())
