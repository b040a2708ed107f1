"""The report as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mobilevit_deploy.report import columns, places, provenance, words
from mobilevit_deploy.report.columns import Column
from mobilevit_deploy.report.data import Report, Row

_CHOICE = (*columns.FILE, *columns.SPEED)
"""What an artifact is chosen by."""


def render(report: Report) -> str:
    """GitHub's Markdown: the verdict, tables, what to beware of, and how the numbers were made."""
    groups = places.groups(report)
    timed = {place: [row for row in rows if row.timed] for place, rows in groups.items() if place}
    parts = [
        f"## {words.headline(report)}",
        escape(words.subtitle(report)),
        *(
            part
            for place, rows in groups.items()
            for part in (_heading(place), escape(words.proofs(rows)), _table(_CHOICE, rows, report.rows))
        ),
        section("Not right", _named(words.faults(report))),
        section("Not timed", _named(words.untimed(report))),
        section("Read with care", map(escape, report.warnings)),
        "### Times and memory" if timed else "",
        *(
            part
            for place, rows in timed.items()
            for part in (_heading(place), _table(columns.DETAILS, rows, report.rows))
        ),
        section("By the vendors' own tools", _named(words.quotations(report))),
        *_emulated(words.emulated(report)),
        section("Not emulated", _named(words.unemulated(report))),
        section("Measured on", [escape(places.line(place)) for place in report.places]),
        section(
            "How the numbers were made", [f"**{name}**: {text}" for name, text in provenance.numbers(report)]
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(place: str) -> str:
    return f"**{escape(place)}**" if place else ""


def _emulated(rows: Sequence[Row]) -> Sequence[str]:
    if not rows:
        return ()
    return "### Emulated ARM", provenance.INSTRUCTIONS, _table(columns.EMULATED, rows, rows)


def _table(offered: Sequence[Column], rows: Sequence[Row], beside: Sequence[Row]) -> str:
    """Those columns that hold anything in the rows of any table ``beside`` this one."""
    shown = [columns.NAME, *columns.filled(offered, beside)]
    return table([column.title for column in shown], [[column.cell(row) for column in shown] for row in rows])


def _named(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"**{escape(name)}**: {escape(why)}" for name, why in pairs]


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
