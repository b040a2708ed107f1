"""How two runs are compared, as a table in a terminal or in Markdown, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mobilevit_deploy.bench.regression import MOST_ROUNDS, Change, Comparison, Side
from mobilevit_deploy.bench.statistics import Estimate
from mobilevit_deploy.report import markdown, terminal, words
from mobilevit_deploy.report.naming import labels

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {
    "slower": "bold red",
    "faster": "green",
    "same": "green",
    "not-slower": "green",
    "cannot-tell": "yellow",
    "no-new": "yellow",
    "no-base": "dim",
}

_COLUMNS = ("Artifact", "Base p50", "New p50", "Change", "95%", "Size", "Verdict")


def headline(comparison: Comparison) -> str:
    """The verdict in one line, such as ``1 of 4 artifacts is slower by more than 5%; cannot tell of 2``."""
    # What is new has nothing to be slower than.
    total = sum(change.base is not None for change in comparison.changes)
    count = len(comparison.slower)
    if comparison.threshold is None:
        faster = sum(change.verdict == "faster" for change in comparison.changes)
        rest = total - count - faster
        return f"{count} of {total} slower, {faster} faster, no difference shown in {rest}"
    subject = f"{count or 'None'} of {total} {'artifact' if total == 1 else 'artifacts'}"
    verb = "are" if count > 1 else "is"
    doubt = f"; cannot tell of {len(comparison.undecided)}" if comparison.undecided else ""
    return f"{subject} {verb} slower by more than {percent(comparison.threshold)}{doubt}"


def verdict(change: Change, threshold: float | None) -> str:
    """One word or a few."""
    # Whoever asks for no gate has no threshold that an interval could straddle.
    if change.verdict == "cannot-tell" and threshold is None and change.rounds > 1:
        return "no difference shown"
    return {
        "slower": "slower",
        "faster": "faster",
        "same": f"within {percent(threshold or 0)}",
        "not-slower": "not slower",
        "cannot-tell": "cannot tell",
        "no-base": "new",
        "no-new": "gone",
    }[change.verdict]


def advice(change: Change, threshold: float | None) -> str:
    """Why it cannot be told, and what to do; empty for what can."""
    if change.verdict == "no-new":
        return f"measured in BASE, not in NEW. {change.why_untimed or 'Measure it again.'}"
    if change.verdict != "cannot-tell":
        return ""
    if change.rounds == 1:
        return "measured in a single process, which says nothing about the next one. Measure 5 rounds."
    if change.ratio is None or threshold is None:
        return ""
    doubt = f"{span(change.ratio)} holds the {percent(threshold)} that are allowed."
    if change.rounds_needed is None:
        return (
            f"{doubt} At this noise even {MOST_ROUNDS} rounds would hardly tell: measure on a quieter "
            "machine, or choose another threshold."
        )
    return (
        f"{doubt} About {change.rounds_needed} rounds on both sides, instead of {change.rounds}, would tell."
    )


def percent(fraction: float) -> str:
    """A threshold, such as ``5%`` or ``2.5%``."""
    return f"{100 * fraction:g}%"


def difference(value: float) -> str:
    """A ratio as what it adds or saves, such as ``+8.0%``."""
    return f"{value - 1:+.1%}"


def span(ratio: Estimate) -> str:
    """Its interval in the same terms, such as ``+5.6% to +10.4%``."""
    return f"{difference(ratio.interval.low)} to {difference(ratio.interval.high)}"


def render_terminal(comparison: Comparison, *, width: int | None = None, color: bool | None = None) -> str:
    """The verdict, a table, and what to beware of; see ``mobilevit_deploy.report.terminal.render``."""
    return terminal.as_text(lambda console: _print(comparison, console), width=width, color=color)


def render_markdown(comparison: Comparison) -> str:
    """The same for a pull request."""
    parts = [
        f"## {headline(comparison)}",
        markdown.table(_COLUMNS, _rows(comparison)),
        markdown.section(
            "Cannot tell",
            [f"**{markdown.escape(name)}**: {markdown.escape(why)}" for name, why in _doubts(comparison)],
        ),
        markdown.section("Read with care", map(markdown.escape, comparison.warnings)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _print(comparison: Comparison, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    style = "bold red" if comparison.slower else "yellow" if _doubts(comparison) else "bold green"
    console.print(headline(comparison), style=style)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="dim")
    # What says least goes first where there is no room.
    narrow = {"95%": 100, "Size": 80, "Base p50": 60}
    shown = [number for number, title in enumerate(_COLUMNS) if console.width >= narrow.get(title, 0)]
    for number in shown:
        numeric = _COLUMNS[number] not in {"Artifact", "Verdict"}
        table.add_column(_COLUMNS[number], justify="right" if numeric else "left", no_wrap=numeric)
    for change, row in zip(comparison.changes, _rows(comparison), strict=True):
        cells = [Text(row[number]) for number in shown]
        cells[-1].stylize(_STYLES[change.verdict])
        table.add_row(*cells)
    console.print(table)
    terminal.section(
        console, "Cannot tell", (f"{name}: {why}" for name, why in _doubts(comparison)), "yellow"
    )
    terminal.section(console, "Read with care", comparison.warnings, "yellow")


def _rows(comparison: Comparison) -> list[Sequence[str]]:
    names = labels([change.artifact for change in comparison.changes])
    return [
        (
            name,
            _p50(change.base),
            _p50(change.new),
            difference(change.ratio.value) if change.ratio else words.NOTHING,
            span(change.ratio) if change.ratio else words.NOTHING,
            _size(change),
            verdict(change, comparison.threshold),
        )
        for name, change in zip(names, comparison.changes, strict=True)
    ]


def _doubts(comparison: Comparison) -> list[tuple[str, str]]:
    names = labels([change.artifact for change in comparison.changes])
    reasons = [advice(change, comparison.threshold) for change in comparison.changes]
    return [(name, why) for name, why in zip(names, reasons, strict=True) if why]


def _p50(side: Side | None) -> str:
    return words.milliseconds(side.latency.p50.value) if side else words.NOTHING


def _size(change: Change) -> str:
    """The new size, and what became of the old one."""
    side = change.new or change.base
    assert side is not None
    size = words.megabytes(side.bytes)
    if change.base is None or change.new is None or change.base.bytes == change.new.bytes:
        return size
    return f"{size} ({difference(change.new.bytes / change.base.bytes)})"
