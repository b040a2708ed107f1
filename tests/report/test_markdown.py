"""Markdown as GitHub reads it."""

from __future__ import annotations

from mobilevit_deploy.report import markdown
from mobilevit_deploy.report.data import Report


def test_the_table_has_as_many_cells_in_every_row(report: Report) -> None:
    rows = [line for line in markdown.render(report).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert {row.count("|") for row in rows} == {14}


def test_verdict_numbers_and_reasons_are_there(report: Report) -> None:
    text = markdown.render(report)
    assert text.startswith("## 3 of 3 artifacts equal the reference\n")
    assert "| 2.00\N{MULTIPLICATION SIGN} |" in text
    assert "- **silent fp32**: an interpreter is no runtime." in text


def test_names_cannot_become_markup(nasty: Report) -> None:
    text = markdown.render(nasty)
    assert "<b>" not in text
    assert r"&lt;b&gt;&amp;\"'\`\|$x\_1$".replace(r"\"", '"') in text
