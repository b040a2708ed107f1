"""How a comparison reads: the verdict first, names as short as they may be, and no name becomes markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fakes.timed_artifacts import measurement, timing
from mobilevit_deploy.bench.measurement import Measurement
from mobilevit_deploy.bench.regression import Comparison, gate
from mobilevit_deploy.report.comparison import headline, render_markdown, render_terminal

NASTY = "<b>&\"'`|$x_1$[red]"


def run(day: int, *, processes: int = 3, threads: int = 1, **medians: float) -> list[Measurement]:
    """Processes of artifacts for targets of these names."""
    subject = measurement().subject
    return [
        measurement(
            subject=subject.model_copy(update={"target": target, "bytes": 1_000_000 + 100_000 * day}),
            threads=threads,
            round=number,
            started_at=datetime(2026, 1, day, tzinfo=UTC) + timedelta(minutes=number),
            outcome=timing(samples_ms=(0.999 * median, median, 1.001 * median)),
        )
        for target, median in medians.items()
        for number in range(1, processes + 1)
    ]


@pytest.fixture
def comparison() -> Comparison:
    """One got slower, one faster, one was lost, one is new."""
    base = run(2, slow=10.0, fast=10.0, lost=10.0)
    return gate(base, run(3, slow=12.0, fast=8.0, new=10.0), 0.05)


def test_the_headline_counts() -> None:
    base, new = run(2, a=10.0, b=10.0), run(3, a=12.0, b=12.0)
    assert headline(gate(base, new, 0.05)) == "2 of 2 artifacts are slower by more than 5%"
    assert headline(gate(base, base, 0.025)) == "None of 2 artifacts is slower by more than 2.5%"
    assert headline(gate(base, new, None)) == "2 of 2 slower, 0 faster, no difference shown in 0"


def test_the_verdict_comes_first_and_the_doubts_below_the_table(comparison: Comparison) -> None:
    lines = render_terminal(comparison, width=120, color=False).splitlines()
    assert lines[0] == "1 of 3 artifacts is slower by more than 5%; cannot tell of 1"
    assert lines[-1] == "  lost fp32: measured in BASE, not in NEW. Measure it again."
    verdicts = {line.split("  ")[0].strip(): line.split("  ")[-1].strip() for line in lines[4:8]}
    assert verdicts == {"slow fp32": "slower", "fast fp32": "faster", "lost fp32": "gone", "new fp32": "new"}


def test_sizes_are_compared_too(comparison: Comparison) -> None:
    assert "1.30 MB (+8.3%)" in render_terminal(comparison, width=120)


def test_names_say_only_what_tells_them_apart() -> None:
    base = [*run(2, a=10.0), *run(2, threads=2, a=6.0)]
    shown = render_terminal(gate(base, [*run(3, a=10.0), *run(3, threads=2, a=6.0)], 0.05), width=120)
    assert "a fp32 1 thread " in shown
    assert "a fp32 2 threads " in shown


def test_a_single_process_is_sent_back_to_measure_more() -> None:
    shown = render_terminal(gate(run(2, processes=1, a=10.0), run(3, a=10.0), None), width=120)
    assert "measured in a single process, which says nothing about the next one" in shown


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132])
def test_no_line_is_wider_than_the_terminal(comparison: Comparison, width: int) -> None:
    shown = render_terminal(comparison, width=width, color=False)
    assert max(map(len, shown.splitlines())) <= width
    assert "slower" in shown


def test_markdown_has_as_many_cells_in_every_row(comparison: Comparison) -> None:
    rows = [line for line in render_markdown(comparison).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {row.count("|") for row in rows} == {8}


def test_names_cannot_become_markup() -> None:
    comparison = gate(run(2, **{NASTY: 10.0}), run(3, processes=1, **{NASTY: 10.0}), 0.05)
    assert f"{NASTY} fp32" in render_terminal(comparison, width=200, color=False)
    text = render_markdown(comparison)
    assert "<b>" not in text
    assert "- **&lt;b&gt;&amp;\"'\\`\\|$x\\_1$" in text
