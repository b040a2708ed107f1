"""The report as a table in a terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mobilevit_deploy.report import columns, places, provenance, words
from mobilevit_deploy.report.columns import Column
from mobilevit_deploy.report.data import Report, Row

if TYPE_CHECKING:
    from rich.console import Console


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
    good = not words.faults(report)
    console.print(words.headline(report), style="bold green" if good else "bold red")
    console.print(words.subtitle(report))
    offered = columns.filled([*columns.FILE, *columns.SPEED, *columns.DETAILS], report.rows)
    console.print()
    for place, rows in places.groups(report).items():
        if place:
            console.print(place, style="bold")
        console.print(words.proofs(rows), style="dim")
        _table(console, offered, rows)
    section(console, "Not right", _named(words.faults(report)), "red")
    section(console, "Not timed", _named(words.untimed(report)), "yellow")
    section(console, "By the vendors' own tools", _named(words.quotations(report)), "bold")
    if on_arm := words.emulated(report):
        console.print("\nEmulated ARM", style="bold")
        console.print(provenance.INSTRUCTIONS)
        _table(console, columns.EMULATED, on_arm)
    section(console, "Not emulated", _named(words.unemulated(report)), "yellow")
    section(console, "Read with care", report.warnings, "yellow")
    section(console, "Measured on", map(places.line, report.places), "dim")


def _table(console: Console, offered: Sequence[Column], rows: Sequence[Row]) -> None:
    """The name of each row, and as many columns as the terminal has room for."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = [columns.NAME, *(column for column in offered if column.wide <= console.width)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="dim")
    for column in shown:
        table.add_column(column.title, justify="right" if column.numeric else "left", no_wrap=column.numeric)
    for row in rows:
        table.add_row(*(Text(column.cell(row), style=column.style(row)) for column in shown))
    console.print(table)


def _named(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"{name}: {why}" for name, why in pairs)


def section(console: Console, title: str, lines: Iterable[str], style: str) -> None:
    """A title and its lines, if there are any."""
    from rich.padding import Padding
    from rich.text import Text

    for index, line in enumerate(lines):
        if index == 0:
            console.print(title, style=style)
        console.print(Padding(Text(line), (0, 0, 0, 2)))
