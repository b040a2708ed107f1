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
        _escape(words.subtitle(report)),
        _table(_COLUMNS, [_cells(row) for row in report.rows]),
        _section("Not right", [f"**{_escape(name)}**: {_escape(why)}" for name, why in words.faults(report)]),
        _section(
            "Not timed", [f"**{_escape(name)}**: {_escape(why)}" for name, why in words.untimed(report)]
        ),
        _section("Read with care", map(_escape, report.warnings)),
        _section("Machine", [_escape(words.cpu(machine)) for machine, _ in report.places]),
        _section(
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


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(columns) - 1)]
    lines = [columns, rule, *[[_escape(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(title: str, lines: Iterable[str]) -> str:
    items = "\n".join(f"- {line}" for line in lines)
    return f"### {title}\n\n{items}" if items else ""


def _escape(text: str) -> str:
    """Keep names and labels from becoming markup."""
    one_line = " ".join(text.split())
    return (
        re.sub(r"([\\`*_\[\]|~#])", r"\\\1", one_line)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
