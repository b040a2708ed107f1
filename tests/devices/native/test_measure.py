"""The measuring loops in C and in Python are one rule: given the same clock, they give the same numbers."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.bench import sampling
from mobilevit_deploy.devices.native import build, commands, output
from mobilevit_deploy.devices.native.runtimes import RUNTIMES
from mobilevit_deploy.devices.transport import Completed
from mobilevit_deploy.errors import SessionError

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="compiled for x86-64")

FAKE = Path(__file__).parents[2] / "fakes" / "scripted_engine.c"
SAMPLES = 7

Scripted = Callable[[list[int]], Completed]


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    """Time a runtime whose load and runs take so many nanoseconds."""
    pytest.importorskip("ziglang", reason="the compiler of the runner is not installed")
    program = tmp_path_factory.mktemp("scripted") / "run"
    engines = {runtime.name for runtime in RUNTIMES}
    shared = [path for path in build.SOURCE.glob("*.c") if path.stem not in engines]
    build.compile_c([*shared, FAKE], "x86_64", program, flags=["-I", str(build.SOURCE), "-lm"])

    def run(nanoseconds: list[int]) -> Completed:
        with tempfile.NamedTemporaryFile("w", dir=program.parent) as script:
            script.write("\n".join(map(str, nanoseconds)))
            script.flush()
            argv = [str(program), "no library", *commands.time(script.name, script.name, samples=SAMPLES)]
            ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)

    return run


class ScriptedSession:
    """The same in Python: opening and running move the clock by the next step."""

    engine = "scripted"
    measurable = True

    def __init__(self, nanoseconds: list[int]) -> None:
        self.now = 1_000_000_000
        self._steps = self._endless(nanoseconds)

    def open(self) -> ScriptedSession:
        return self.run()

    def run(self) -> ScriptedSession:
        self.now += next(self._steps)
        return self

    def close(self) -> None:
        pass

    @staticmethod
    def _endless(nanoseconds: list[int]) -> Iterator[int]:
        yield from nanoseconds
        while True:
            yield nanoseconds[-1]


def in_python(nanoseconds: list[int]) -> sampling.Samples:
    session = ScriptedSession(nanoseconds)
    return sampling.sample(session.open, (), SAMPLES, clock=lambda: session.now)  # type: ignore[arg-type,return-value]


def assert_same(scripted: Scripted, nanoseconds: list[int]) -> sampling.Samples:
    expected = in_python(nanoseconds)
    times = output.read(scripted(nanoseconds), output.Times)
    assert times.load_ms == expected.load_ms
    assert times.first_ms == expected.first_ms
    assert times.warmup_ms == expected.warmup_ms
    assert times.samples_ms == expected.samples_ms
    return expected


@settings(deadline=None, max_examples=8)
@given(
    first=st.lists(st.integers(1, 200_000_000), min_size=2, max_size=40),
    last=st.integers(100_000, 100_000_000),
)
def test_any_sequence_of_durations_is_cut_in_the_same_places(
    scripted: Scripted, first: list[int], last: int
) -> None:
    assert_same(scripted, [*first, last])


def test_a_run_that_gets_faster_and_faster_is_warmed_up_to_the_limit(scripted: Scripted) -> None:
    faster = [int(200e6 * 0.97**step) for step in range(100)]
    taken = assert_same(scripted, [5_000_000, *faster])
    assert sum(taken.warmup_ms) >= sampling.WARMUP_MOST_MS > sum(taken.warmup_ms[:-1])


def test_inferences_of_a_microsecond_are_warmed_up_to_their_limit(scripted: Scripted) -> None:
    assert len(assert_same(scripted, [5_000_000, 1_000]).warmup_ms) == sampling.WARMUP_MOST


@pytest.mark.parametrize(
    ("nanoseconds", "moment"),
    [
        ([-5], "loading"),
        ([5, -5], "the first run"),
        ([5, 5, 5, -5], "warm-up"),
        ([5, 9, 0], "no time at all"),
    ],
)
def test_a_clock_that_does_not_advance_ends_it(
    scripted: Scripted, nanoseconds: list[int], moment: str
) -> None:
    with pytest.raises(SessionError, match=r"the clock went from \d+ to \d+ ns"):
        output.read(scripted(nanoseconds), output.Times)
