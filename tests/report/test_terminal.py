"""The table fits the terminal, whatever its width, and is plain where colours are not wanted."""

from __future__ import annotations

import pytest

from mobilevit_deploy.report import terminal
from mobilevit_deploy.report.data import Report


@pytest.mark.parametrize("width", [40, 60, 80, 100, 110, 120, 132, 150, 160, 170, 190, 200, 215, 225])
def test_no_line_is_wider_than_the_terminal(report: Report, everywhere: Report, width: int) -> None:
    shown = terminal.render(report, width=width, color=False)
    for text in (shown, terminal.render(everywhere, width=width, color=False)):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
    assert "2.00 ms" in shown
    assert "fast fp32" in shown


def test_wider_terminals_show_more(report: Report) -> None:
    assert "SQNR" not in terminal.render(report, width=60)
    assert "SQNR" in terminal.render(report, width=132)
    assert "Min" in terminal.render(report, width=170)


def test_places_stand_apart_and_say_where_parity_was_proven(everywhere: Report) -> None:
    shown = terminal.render(everywhere, width=132, color=False)
    host, phone = (shown.index(place) for place in ("\nhost, Example 9000", "\nadb:R58M (adb shell), Maker"))
    assert host < shown.index("as at the export by clock 1.0") < shown.index("120 MB") < phone
    assert phone < shown.index("checked on adb:R58M by clock 1.0 for arm64") < shown.index("45.0 MB")


def test_what_only_some_terminals_have_room_for_is_shown_there(everywhere: Report) -> None:
    shown = terminal.render(everywhere, width=225, color=False)
    for title in ("p99", "Min", "CV", "Preprocess", "End to end", "Memory", "Of the model"):
        assert title in shown
    assert "5.05 ms" in shown


@pytest.mark.parametrize("width", [40, 80])
def test_emulated_arm_is_a_count_and_no_latency(everywhere: Report, width: int) -> None:
    shown = terminal.render(everywhere, width=width, color=False)
    assert "910.4 M" in shown
    assert "no latency" in " ".join(shown.split())


def test_the_verdict_comes_first_and_the_reasons_below_the_table(report: Report) -> None:
    lines = terminal.render(report, width=100, color=False).splitlines()
    assert lines[0] == "3 of 3 artifacts equal the reference"
    assert "  silent fp32: an interpreter is no runtime." in lines


def test_colour_is_off_unless_there_is_a_terminal_that_wants_it(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[" in terminal.render(report, color=True)
    assert "\x1b[" not in terminal.render(report, color=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[" in terminal.render(report)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in terminal.render(report)


def test_names_are_shown_as_they_are(nasty: Report) -> None:
    shown = terminal.render(nasty, width=200, color=False)
    assert "<b>&\"'`|$x_1$ fp32" in shown
