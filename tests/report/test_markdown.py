"""Markdown as GitHub reads it."""

from __future__ import annotations

from mobilevit_deploy.report import markdown
from mobilevit_deploy.report.data import Report


def tables(text: str) -> list[list[str]]:
    """The rows of each table."""
    found = [part.splitlines() for part in text.split("\n\n")]
    return [lines for lines in found if lines[0].startswith("|")]


def test_tables_have_as_many_cells_in_every_row(report: Report, everywhere: Report) -> None:
    assert [len(rows) for rows in tables(markdown.render(report))] == [2 + 3, 2 + 2]
    assert [len(rows) for rows in tables(markdown.render(everywhere))] == [2 + 2, 2 + 2, 2 + 2, 2 + 1, 2 + 2]
    for rows in tables(markdown.render(everywhere)):
        assert len({row.count("|") for row in rows}) == 1


def test_every_place_has_a_table_of_its_own(everywhere: Report) -> None:
    text = markdown.render(everywhere)
    host, phone = (text.index(place) for place in ("**host, Example 9000", "**adb:R58M (adb shell), Maker"))
    assert host < text.index("| 2.00 ms |") < phone < text.index("| 9.00 ms |")
    assert "| 3.05 ms | 5.05 ms | 40.0 MB |" in text
    assert "Parity checked on adb:R58M by clock 1.0 for arm64, clock 1.0." in text


def test_emulated_arm_is_a_count_and_no_latency(everywhere: Report) -> None:
    text = markdown.render(everywhere)
    assert "| right fp32 | cortex-a76 | equal | 4.0e-6 | 111.0 dB | 910.4 M |" in text
    assert text.index("no latency: there are no caches and no pipeline") < text.index("910.4 M")


def test_columns_without_figures_are_left_out(report: Report) -> None:
    text = markdown.render(report)
    for title in ("Memory", "Accuracy", "End to end", "Instructions"):
        assert f"| {title} |" not in text


def test_verdict_numbers_and_reasons_are_there(report: Report) -> None:
    text = markdown.render(report)
    assert text.startswith("## 3 of 3 artifacts equal the reference\n")
    assert "| 2.00\N{MULTIPLICATION SIGN} |" in text
    assert "- **silent fp32**: an interpreter is no runtime." in text


def test_names_cannot_become_markup(nasty: Report) -> None:
    text = markdown.render(nasty)
    assert "<b>" not in text
    assert r"&lt;b&gt;&amp;\"'\`\|$x\_1$".replace(r"\"", '"') in text
