"""The columns of the tables in a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.report import words
from mobilevit_deploy.report.data import Emulated, Row, Timed


@dataclass(frozen=True)
class Column:
    """A column, shown in terminals of at least ``wide`` characters.

    Attributes:
        numeric: whether it holds numbers, which stand to the right and are never wrapped.
        style: of a row's cell, in terms of rich.
    """

    title: str
    cell: Callable[[Row], str]
    wide: int = 0
    numeric: bool = True
    style: Callable[[Row], str] = lambda _: ""


_STYLES = {"pass": "green", "fail": "bold red", "not-run": "yellow"}


def filled(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """Those that hold anything; what nobody looked at takes no room."""
    return [column for column in columns if any(column.cell(row) != words.NOTHING for row in rows)]


def _timed(cell: Callable[[Timed], str]) -> Callable[[Row], str]:
    return lambda row: cell(row.timed) if row.timed else words.NOTHING


def _emulated(cell: Callable[[Emulated], str], otherwise: str = words.NOTHING) -> Callable[[Row], str]:
    return lambda row: cell(row.emulated) if row.emulated else otherwise


def _on_arm(cell: Callable[[ParityResult], str], otherwise: str = words.NOTHING) -> Callable[[Row], str]:
    return _emulated(lambda found: cell(found.parity) if found.parity else otherwise, otherwise)


NAME = Column("Artifact", lambda row: row.name, numeric=False)

FILE = (
    Column("Size", lambda row: words.megabytes(row.manifest.bytes), wide=50),
    Column("Zipped", lambda row: words.memory(row.manifest.compressed_bytes), wide=185),
    Column(
        "Parity",
        lambda row: words.verdict(row.parity),
        numeric=False,
        # What was right and lost too much accuracy is not right.
        style=lambda row: _STYLES["fail" if row.parity.passed and not row.passed else row.parity.verdict],
    ),
    Column("Error", lambda row: words.scientific(row.parity.max_error), wide=70),
    Column("SQNR", lambda row: words.decibels(row.parity.sqnr_db), wide=120),
    Column("Top-1", lambda row: words.share(row.parity.top1_agreement), wide=225),
    Column("Accuracy", words.accuracy, wide=150),
)
"""What is known of a file without a clock."""

SPEED = (
    Column("p50", _timed(lambda timed: words.milliseconds(timed.latency.p50.value))),
    Column("95%", _timed(lambda timed: words.interval(timed.latency.p50)), wide=132),
    Column("Ratio", _timed(lambda timed: words.times(timed.ratio)), wide=60),
    Column("Memory", _timed(lambda timed: words.memory(timed.peak_bytes)), wide=100),
)
"""The figures by which artifacts are chosen."""

DETAILS = (
    Column("Load", _timed(lambda timed: words.milliseconds(timed.load_ms)), wide=90),
    Column("First", _timed(lambda timed: words.milliseconds(timed.first_ms)), wide=80),
    Column("Min", _timed(lambda timed: words.milliseconds(timed.latency.minimum)), wide=170),
    Column("p90", _timed(lambda timed: words.milliseconds(timed.latency.p90)), wide=160),
    Column("p99", _timed(lambda timed: words.milliseconds(timed.latency.p99)), wide=110),
    Column("CV", _timed(lambda timed: words.spread(timed.latency.cv)), wide=175),
    Column("Preprocess", _timed(lambda timed: words.duration(timed.preprocess_ms)), wide=200),
    Column("End to end", _timed(lambda timed: words.duration(timed.end_to_end_ms)), wide=190),
    Column("Of the model", _timed(lambda timed: words.memory(timed.model_bytes)), wide=215),
)
"""The rest of what a clock and a look at memory say."""

EMULATED = (
    Column("Processor", _emulated(lambda found: found.cpu), wide=60, numeric=False),
    Column(
        "Parity",
        _on_arm(words.verdict),
        numeric=False,
        style=_on_arm(lambda found: _STYLES[found.verdict], ""),
    ),
    Column("Error", _on_arm(lambda parity: words.scientific(parity.max_error)), wide=70),
    Column("SQNR", _on_arm(lambda parity: words.decibels(parity.sqnr_db)), wide=80),
    Column("Instructions", _emulated(lambda found: words.millions(found.instructions))),
)
"""What emulated ARM says."""
