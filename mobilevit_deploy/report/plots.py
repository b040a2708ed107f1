"""The plots of the HTML page."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mobilevit_deploy.report import places, svg, words
from mobilevit_deploy.report.data import Report, Row, Timed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE_IN, NARROW_IN = 9.0, 4.4

_Panels = dict[str, list[tuple[Row, Timed]]]
"""What was timed, by where: latencies of two places never share an axis."""


def plots(report: Report, *, width_in: float = WIDE_IN) -> dict[str, str]:
    """An inline SVG for each plot that the report has data for: ``latency``, ``pareto`` and ``parity``."""
    timed = [(row, row.timed) for row in report.rows if row.timed]
    checked = [row for row in report.artifacts if row.manifest.parity.errors]
    groups = places.groups(report).items()
    panels = {place: [(row, row.timed) for row in rows if row.timed] for place, rows in groups if place}
    # An artifact looks the same in every plot.
    shown = [row.path for row in report.artifacts if row.manifest.parity.errors or row.timed]
    looks = {path: _Look.number(index) for index, path in enumerate(shown)}
    drawn = {}
    with svg.style():
        if timed:
            drawn["latency"] = _latency(panels, width_in)
        if len({row.path for row, _ in timed}) > 1:
            drawn["pareto"] = _pareto(panels, looks, width_in)
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


def _latency(panels: _Panels, width_in: float) -> str:
    """A line of dots for each process, one artifact below the other, and a bar at the median."""
    figure, drawn = svg.new_figure(width_in, *(0.85 + 0.56 * len(timed) for timed in panels.values()))
    for axes, (place, timed) in zip(drawn, panels.items(), strict=True):
        # A single stall of the machine must not squeeze everything else into a corner.
        limit = 1.08 * max(each.latency.p99 for _, each in timed)
        for index, (_, each) in enumerate(timed):
            _draw_samples(axes, index, each, limit)
        _scale_time(axes, limit, width_in)
        _name_rows(axes, [row.name for row, _ in timed])
        _name_panel(axes, place, width_in)
    drawn[-1].set_xlabel("latency of an inference, ms")
    medians = "; ".join(
        f"{row.label} median {words.milliseconds(each.latency.p50.value)}"
        for timed in panels.values()
        for row, each in timed
    )
    return svg.inline(
        figure,
        _name("latency", width_in),
        title="Latency of every inference",
        description=f"One dot an inference, one line a process. {medians}.",
    )


def _draw_samples(axes: Axes, index: int, timed: Timed, limit: float) -> None:
    count = len(timed.samples_ms)
    lanes = [index + 0.5 * ((lane + 0.5) / count - 0.5) for lane in range(count)]
    for lane, samples in zip(lanes, timed.samples_ms, strict=True):
        shown = [sample for sample in samples if sample <= limit]
        axes.plot(shown, [lane] * len(shown), "o", ms=3.2, mew=0, mfc=svg.ACCENT, alpha=0.35)
    median = timed.latency.p50.value
    axes.plot([median, median], [index - 0.34, index + 0.34], color=svg.INK, lw=1.4, solid_capstyle="butt")
    _note(axes, words.significant(median), (median, index - 0.34), (0, 2), ha="center")
    if beyond := sum(sample > limit for samples in timed.samples_ms for sample in samples):
        _note(axes, f"{beyond} beyond →", (limit, index + 0.34), (0, -6), ha="right", color=svg.MUTED)


def _pareto(panels: _Panels, looks: dict[str, _Look], width_in: float) -> str:
    """Size against latency in each place, with the front of what none is both smaller and faster than."""
    figure, drawn = svg.new_figure(width_in, *[2.9] * len(panels))
    for axes, (place, timed) in zip(drawn, panels.items(), strict=True):
        limit = 1.08 * max(each.latency.p50.interval.high for _, each in timed)
        top = 1.15 * max(row.manifest.bytes for row, _ in timed) / 1e6
        best = front([(each.latency.p50.value, row.manifest.bytes / 1e6) for row, each in timed])
        (fastest, _), (_, smallest) = best[0], best[-1]
        corners = [(fastest, top), *best, (limit, smallest)]
        axes.step(*zip(*corners, strict=True), where="post", color=svg.MUTED, lw=1, ls=(0, (4, 3)))
        for row, each in timed:
            look, p50, size = looks[row.path], each.latency.p50, row.manifest.bytes / 1e6
            fill = look.colour if (p50.value, size) in best else "none"
            axes.plot([p50.interval.low, p50.interval.high], [size, size], color=look.colour, lw=1, alpha=0.6)
            axes.plot(p50.value, size, look.marker, ms=6.5, mew=1.3, mec=look.colour, mfc=fill)
        _scale_time(axes, limit, width_in)
        axes.set_ylim(0, top)
        axes.set_ylabel("size, MB")
        _name_panel(axes, place, width_in)
    drawn[-1].set_xlabel("median latency, ms")
    artifacts = {row.path: row for timed in panels.values() for row, _ in timed}
    for path, row in artifacts.items():
        told = ", ".join(filter(None, [row.name, words.fidelity(row)]))
        drawn[0].plot([], [], looks[path].marker, ms=6.5, mew=0, mfc=looks[path].colour, label=told)
    _legend(figure, drawn[0], width_in)
    spots = "; ".join(
        f"{row.label} {words.megabytes(row.manifest.bytes)}, {words.milliseconds(each.latency.p50.value)}, "
        f"{words.fidelity(row)}"
        for timed in panels.values()
        for row, each in timed
    )
    return svg.inline(
        figure,
        _name("pareto", width_in),
        title="Size against latency, with accuracy",
        description=f"Down and left is better. {spots}.",
    )


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is below and left of, from left to right."""
    found: list[tuple[float, float]] = []
    for point in sorted(points):
        if not found or point[1] < found[-1][1]:
            found.append(point)
    return found


def _parity(rows: Sequence[Row], cases: Sequence[str], looks: dict[str, _Look], width_in: float) -> str:
    """Error of each artifact on each input, on a log scale, with what is allowed."""
    figure, (axes,) = svg.new_figure(width_in, 1.0 + 0.2 * len(cases))
    axes.set_xscale("log")
    finite = [error for row in rows for error in row.manifest.parity.errors.values() if 0 < error < np.inf]
    # An exact match has no logarithm: it is drawn a decade below all others.
    exact = 10 ** (np.floor(np.log10(min(finite, default=1e-7))) - 1)
    for row in rows:
        look, errors = looks[row.path], row.manifest.parity.errors
        axes.plot(
            [error or exact for error in errors.values()],
            [cases.index(case) for case in errors],
            look.marker,
            ms=5,
            mfc=look.colour,
            mew=0,
            alpha=0.85,
            label=row.name,
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
    _legend(figure, axes, width_in)
    worst = "; ".join(f"{row.name} at most {words.scientific(row.manifest.parity.max_error)}" for row in rows)
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
    return any(error == 0 for row in rows for error in row.manifest.parity.errors.values())


def _note(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """Write ``text`` at a point of the data, ``shift`` points off it."""
    axes.annotate(text, at, shift, textcoords="offset points", **style)


def _legend(figure: Figure, axes: Axes, width_in: float) -> None:
    """Above everything, in as many columns as there is room for."""
    handles, labels = axes.get_legend_handles_labels()
    characters = 12 * width_in  # that fit beside each other, at 9 points
    columns = max(1, min(len(labels), int(characters / (max(map(len, labels)) + 5))))
    figure.set_figheight(figure.get_figheight() + 0.19 * math.ceil(len(labels) / columns))
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        borderaxespad=0.3,
        handletextpad=0.4,
        columnspacing=1.6,
    )


def _scale_time(axes: Axes, limit: float, width_in: float) -> None:
    axes.locator_params(axis="x", nbins=int(width_in))
    axes.set_xlim(0, limit)


def _name_panel(axes: Axes, place: str, width_in: float) -> None:
    lines = textwrap.fill(place, int(8 * width_in))  # characters that fit beside long names of rows
    axes.set_title(lines, loc="left", fontsize=9, color=svg.INK, fontweight="bold")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=svg.INK)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _name(plot: str, width_in: float) -> str:
    """Ids of the same plot in two widths must differ."""
    return f"{plot}-{round(10 * width_in)}"
