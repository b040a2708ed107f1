"""The report as a table in a terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mobilevit_deploy.report import words
from mobilevit_deploy.report.data import Report, Row, Timed

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"pass": "green", "fail": "bold red", "not-run": "yellow"}


@dataclass(frozen=True)
class _Column:
    """A column, shown in terminals of at least ``wide`` characters."""

    title: str
    cell: Callable[[Row], str]
    wide: int = 0


def render(report: Report, *, width: int | None = None, color: bool | None = None) -> str:
    """The verdict, a table as wide as the terminal allows, and what to beware of.

    Args:
        report: what to show.
        width: of the terminal in characters; None asks it.
        color: whether to colour; None does so for a terminal, unless NO_COLOR is set.
    """
    return as_text(lambda console: _print(report, console), width=width, color=color)


def as_text(write: Callable[[Console], None], *, width: int | None = None, color: bool | None = None) -> str:
    """What ``write`` prints to a console; see ``render`` for the others."""
    from rich.console import Console

    if color is None:
        color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    console = Console(
        file=io.StringIO(),
        width=width or shutil.get_terminal_size().columns,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    write(console)
    assert isinstance(console.file, io.StringIO)
    # Trailing spaces of padded cells would wrap where the terminal is narrower.
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _print(report: Report, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    good = report.passed == report.total
    console.print(words.headline(report), style="bold green" if good else "bold red")
    console.print(words.subtitle(report))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="dim")
    columns = [column for column in _COLUMNS if column.wide <= console.width]
    for column in columns:
        numeric = column.title not in {"Artifact", "Parity", "Engine"}
        table.add_column(column.title, justify="right" if numeric else "left", no_wrap=numeric)
    for row in report.rows:
        style = _STYLES[row.manifest.parity.verdict if row.manifest.passed else "fail"]
        table.add_row(
            *(Text(column.cell(row), style=style if column.title == "Parity" else "") for column in columns)
        )
    if report.rows:
        console.print(table)
    section(console, "Not right", (f"{name}: {why}" for name, why in words.faults(report)), "red")
    section(console, "Not timed", (f"{name}: {why}" for name, why in words.untimed(report)), "yellow")
    section(console, "Read with care", report.warnings, "yellow")
    section(console, "Machine", (words.cpu(machine) for machine, _ in report.places), "dim")


def section(console: Console, title: str, lines: Iterable[str], style: str) -> None:
    """A title and its lines, if there are any."""
    from rich.padding import Padding
    from rich.text import Text

    for index, line in enumerate(lines):
        if index == 0:
            console.print(title, style=style)
        console.print(Padding(Text(line), (0, 0, 0, 2)))


def _timed(cell: Callable[[Timed], str]) -> Callable[[Row], str]:
    return lambda row: cell(row.timed) if row.timed else words.NOTHING


_COLUMNS = (
    _Column("Artifact", lambda row: row.label),
    _Column("Size", lambda row: words.megabytes(row.manifest.bytes), wide=50),
    _Column("Parity", lambda row: words.verdict(row.manifest.parity)),
    _Column("Engine", words.engine, wide=150),
    _Column("Error", lambda row: words.scientific(row.max_error), wide=70),
    _Column("SQNR", lambda row: words.decibels(row.sqnr_db), wide=100),
    _Column("Accuracy", words.accuracy, wide=120),
    _Column("Load", _timed(lambda timed: words.milliseconds(timed.load_ms)), wide=90),
    _Column("First", _timed(lambda timed: words.milliseconds(timed.first_ms)), wide=80),
    _Column("p50", _timed(lambda timed: words.milliseconds(timed.latency.p50.value))),
    _Column("95%", _timed(lambda timed: words.interval(timed.latency.p50)), wide=110),
    _Column("p90", _timed(lambda timed: words.milliseconds(timed.latency.p90)), wide=100),
    _Column("Ratio", _timed(lambda timed: words.times(timed.ratio)), wide=60),
)
