"""The plots of the HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mobilevit_deploy.report import svg, words
from mobilevit_deploy.report.data import Report, Row, Timed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE_IN, NARROW_IN = 9.0, 4.4


def plots(report: Report, *, width_in: float = WIDE_IN) -> dict[str, str]:
    """An inline SVG for each plot that the report has data for: ``latency``, ``size`` and ``parity``."""
    timed = [(row, row.timed) for row in report.rows if row.timed]
    checked = [row for row in report.artifacts if row.errors]
    # An artifact looks the same in every plot.
    drawn_rows = [row for row in report.rows if row.timed or row.errors]
    looks = {row.label: _Look.number(index) for index, row in enumerate(drawn_rows)}
    drawn = {}
    with svg.style():
        if timed:
            drawn["latency"] = _latency(timed, width_in)
        if len(timed) > 1:
            drawn["size"] = _size_against_latency(timed, looks, width_in)
        if checked:
            drawn["parity"] = _parity(checked, report.cases, looks, width_in)
    return drawn


class _Look(NamedTuple):
    """Shape and colour of an artifact's marks."""

    marker: str
    colour: str

    @classmethod
    def number(cls, index: int) -> _Look:
        # With every round of markers the colours move on by one, so that pairs are not repeated so soon.
        lap, place = divmod(index, len(svg.MARKERS))
        return cls(svg.MARKERS[place], svg.SERIES[(place + lap) % len(svg.SERIES)])


def _latency(timed: Sequence[tuple[Row, Timed]], width_in: float) -> str:
    """A line of dots for each process, one artifact below the other, and a bar at the median."""
    figure, axes = svg.new_figure(width_in, 0.75 + 0.62 * len(timed))
    # A single stall of the machine must not squeeze everything else into a corner.
    limit = 1.08 * max(each.latency.p99 for _, each in timed)
    for index, (_, each) in enumerate(timed):
        count = len(each.samples_ms)
        lanes = [index + 0.5 * ((lane + 0.5) / count - 0.5) for lane in range(count)]
        for lane, samples in zip(lanes, each.samples_ms, strict=True):
            shown = [sample for sample in samples if sample <= limit]
            axes.plot(shown, [lane] * len(shown), "o", ms=3.2, mew=0, mfc=svg.ACCENT, alpha=0.35)
        median = each.latency.p50.value
        axes.plot(
            [median, median], [index - 0.34, index + 0.34], color=svg.INK, lw=1.4, solid_capstyle="butt"
        )
        _note(axes, words.significant(median), (median, index - 0.34), (0, 2), ha="center")
        if beyond := sum(sample > limit for samples in each.samples_ms for sample in samples):
            _note(axes, f"{beyond} beyond →", (limit, index + 0.34), (0, -6), ha="right", color=svg.MUTED)
    axes.set_xlim(0, limit)
    axes.locator_params(axis="x", nbins=int(width_in))
    _name_rows(axes, [row.label for row, _ in timed])
    axes.set_xlabel("latency of an inference, ms")
    medians = "; ".join(
        f"{row.label} median {words.milliseconds(each.latency.p50.value)}" for row, each in timed
    )
    return svg.inline(
        figure,
        _name("latency", width_in),
        title="Latency of every inference",
        description=f"One dot an inference, one line a process. {medians}.",
    )


def _size_against_latency(
    timed: Sequence[tuple[Row, Timed]], looks: dict[str, _Look], width_in: float
) -> str:
    figure, axes = svg.new_figure(width_in, 2.8)
    for row, each in timed:
        look = looks[row.label]
        p50, size = each.latency.p50, row.manifest.bytes / 1e6
        axes.plot([p50.interval.low, p50.interval.high], [size, size], color=look.colour, lw=1.2)
        axes.plot(p50.value, size, look.marker, ms=7, mew=0, mfc=look.colour, label=row.label)
    axes.locator_params(axis="x", nbins=int(width_in))
    axes.set_xlim(0, 1.08 * max(each.latency.p50.interval.high for _, each in timed))
    axes.set_ylim(0, 1.15 * max(row.manifest.bytes for row, _ in timed) / 1e6)
    axes.set_xlabel("median latency, ms")
    axes.set_ylabel("size, MB")
    _legend(axes, width_in)
    places = "; ".join(
        f"{row.label} {words.megabytes(row.manifest.bytes)}, {words.milliseconds(each.latency.p50.value)}"
        for row, each in timed
    )
    return svg.inline(
        figure,
        _name("size", width_in),
        title="Size against latency",
        description=f"Down and left is better. {places}.",
    )


def _parity(rows: Sequence[Row], cases: Sequence[str], looks: dict[str, _Look], width_in: float) -> str:
    """Error of each artifact on each input, on a log scale, with what is allowed."""
    figure, axes = svg.new_figure(width_in, 1.0 + 0.2 * len(cases))
    axes.set_xscale("log")
    finite = [error for row in rows for error in row.errors.values() if 0 < error < np.inf]
    # An exact match has no logarithm: it is drawn a decade below all others.
    exact = 10 ** (np.floor(np.log10(min(finite, default=1e-7))) - 1)
    for row in rows:
        look, errors = looks[row.label], row.errors
        axes.plot(
            [error or exact for error in errors.values()],
            [cases.index(case) for case in errors],
            look.marker,
            ms=5,
            mfc=look.colour,
            mew=0,
            alpha=0.85,
            label=row.label,
        )
    bounds = _bounds(rows)
    for bound, judged in bounds.items():
        axes.axvline(bound, color=svg.INK, lw=1.2, ls=(0, (4, 3)))
        _note(axes, f"allowed, {judged}", (bound, -0.75), (-5, 0), ha="right", va="center")
    axes.set_xlim(exact / 1.5 if _has_exact(rows) else 5 * exact, 3 * max([*finite, *bounds, 10 * exact]))
    axes.xaxis.set_major_formatter(
        lambda value, _: (
            "exact" if np.isclose(value, exact, rtol=1e-6, atol=0) else f"{value:.0e}".replace("e-0", "e-")
        )
    )
    axes.xaxis.set_minor_formatter(lambda *_: "")
    _name_rows(axes, cases)
    axes.set_ylim(top=-1.3)
    axes.set_xlabel("largest error, as a fraction of the reference's spread")
    _legend(axes, width_in)
    worst = "; ".join(f"{row.label} at most {words.scientific(row.max_error)}" for row in rows)
    return svg.inline(
        figure, _name("parity", width_in), title="Parity error on every input", description=f"{worst}."
    )


def _bounds(rows: Sequence[Row]) -> dict[float, str]:
    """Each bound on the error, with the precisions that it holds for."""
    found: dict[float, dict[str, None]] = {}
    for row in rows:
        if (bound := row.manifest.parity.tolerance.max_error) is not None:
            found.setdefault(bound, {})[row.manifest.precision] = None
    return {bound: ", ".join(precisions) for bound, precisions in sorted(found.items())}


def _has_exact(rows: Sequence[Row]) -> bool:
    return any(error == 0 for row in rows for error in row.errors.values())


def _note(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """Write ``text`` at a point of the data, ``shift`` points off it."""
    axes.annotate(text, at, shift, textcoords="offset points", **style)


def _legend(axes: Axes, width_in: float) -> None:
    labels = axes.get_legend_handles_labels()[1]
    characters = 12 * width_in  # that fit beside each other, at 9 points
    columns = max(1, min(len(labels), int(characters / (max(map(len, labels)) + 5))))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        frameon=False,
        borderaxespad=0.3,
        handletextpad=0.4,
        columnspacing=1.6,
    )


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=svg.INK)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _name(plot: str, width_in: float) -> str:
    """Ids of the same plot in two widths must differ."""
    return f"{plot}-{round(10 * width_in)}"
