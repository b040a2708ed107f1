"""The table fits the terminal, whatever its width, and is plain where colours are not wanted."""

from __future__ import annotations

import pytest

from mobilevit_deploy.report import terminal
from mobilevit_deploy.report.data import Report


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    shown = terminal.render(report, width=width, color=False)
    assert max(map(len, shown.splitlines())) <= width
    assert "2.00 ms" in shown
    assert "fast fp32" in shown


def test_wider_terminals_show_more(report: Report) -> None:
    assert "SQNR" not in terminal.render(report, width=60)
    assert "SQNR" in terminal.render(report, width=132)
    assert "clock 1.0" in terminal.render(report, width=160)


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
