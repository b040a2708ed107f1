"""The report as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mobilevit_deploy.report import words
from mobilevit_deploy.report.data import Report, Row

_COLUMNS = (
    *("Artifact", "Size", "Parity", "Engine", "Error", "SQNR", "Top-1", "Accuracy"),
    *("Load", "First", "p50 [95%]", "p90", "Against fastest"),
)


def render(report: Report) -> str:
    """GitHub's Markdown: the verdict, a table, what to beware of, and how the numbers were made."""
    parts = [
        f"## {words.headline(report)}",
        escape(words.subtitle(report)),
        table(_COLUMNS, [_cells(row) for row in report.rows]),
        section("Not right", [f"**{escape(name)}**: {escape(why)}" for name, why in words.faults(report)]),
        section("Not timed", [f"**{escape(name)}**: {escape(why)}" for name, why in words.untimed(report)]),
        section("Read with care", map(escape, report.warnings)),
        section("Machine", [escape(words.cpu(machine)) for machine, _ in report.places]),
        section(
            "How the numbers were made", [f"**{name}**: {text}" for name, text in words.provenance(report)]
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cells(row: Row) -> Sequence[str]:
    timed = row.timed
    facts = [
        row.label,
        words.megabytes(row.manifest.bytes),
        words.verdict(row.manifest.parity),
        words.engine(row),
        words.scientific(row.max_error),
        words.decibels(row.sqnr_db),
        words.share(row.top1_agreement),
        words.accuracy(row),
    ]
    if timed is None:
        return [*facts, *[words.NOTHING] * 5]
    p50 = timed.latency.p50
    return [
        *facts,
        words.milliseconds(timed.load_ms),
        words.milliseconds(timed.first_ms),
        f"{words.milliseconds(p50.value)} [{words.interval(p50)}]",
        words.milliseconds(timed.latency.p90),
        words.times(timed.ratio),
    ]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text, and the others numbers."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    lines = [columns, rule, *[[escape(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(title: str, lines: Iterable[str]) -> str:
    """A title and a list, if there is anything in it; the lines are markup already."""
    items = "\n".join(f"- {line}" for line in lines)
    return f"### {title}\n\n{items}" if items else ""


def escape(text: str) -> str:
    """Keep names and labels from becoming markup."""
    one_line = " ".join(text.split())
    return (
        re.sub(r"([\\`*_\[\]|~#])", r"\\\1", one_line)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
