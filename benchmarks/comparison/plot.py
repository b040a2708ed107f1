"""The results as a drawing: a bar for every file, ours in colour, a panel for every model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmarks.comparison.entries import OURS, Key
from benchmarks.comparison.results import Results
from benchmarks.comparison.tables import MODELS, RUNTIMES
from mobilevit_deploy.report import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN = 9.0
_BAR_IN = 0.24
_HEADING = 0.95
"""Rows that a runtime's name takes."""

THEMES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "ink": "#1f2328",
        "muted": "#59636e",
        "rule": "#d1d9e0",
        "accent": "#0969da",
        "series-1": "#afb8c1",
    },
    "dark": {
        "ink": "#f0f6fc",
        "muted": "#9198a1",
        "rule": "#3d444d",
        "accent": "#4493f8",
        "series-1": "#656c76",
    },
}
"""GitHub's, for what the README shows with a ``<picture>`` element."""


def drawings(results: Results) -> dict[str, str]:
    """A standalone SVG for each theme."""
    drawing = _drawn(results)
    return {
        theme: drawing.replace(
            "<svg ",
            f'<svg style="{_variables(colours)}" xmlns="http://www.w3.org/2000/svg" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" ',
            1,
        )
        for theme, colours in THEMES.items()
    }


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def _drawn(results: Results) -> str:
    from matplotlib.figure import Figure

    timed = [entry.key for entry in results.entries if results.rounds(entry.key)]
    models = [model for model in MODELS if any(key.model == model for key in timed)]
    rows = list(dict.fromkeys((key.runtime, key.maker, key.precision) for key in timed))
    with svg.style():
        figure = Figure(
            figsize=(WIDTH_IN, 0.7 + _BAR_IN * (len(rows) + _HEADING * len(RUNTIMES))), layout="constrained"
        )
        figure.patch.set_alpha(0)
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for model, axes in zip(models, panels, strict=True):
            _panel(axes, results, model, rows)
        description = "; ".join(
            f"{key.model} {RUNTIMES[key.runtime]} {key.maker} {key.precision} {latency.p50.value:.1f} ms"
            for key in timed
            if (latency := results.latency(key))
        )
        return svg.inline(
            figure,
            "peers",
            title="Latency of our files and of those that other exporters make of the same weights",
            description=f"{description}.",
        )


def _panel(axes: Axes, results: Results, model: str, rows: list[tuple[str, str, str]]) -> None:
    axes.patch.set_alpha(0)
    places: list[float] = []
    labels = []
    longest = 0.0
    for runtime, maker, precision in rows:
        new_runtime = not places or runtime != rows[len(places) - 1][0]
        places.append((places[-1] if places else -1.0) + 1 + (_HEADING if new_runtime else 0.0))
        labels.append(f"{maker}, {precision}")
        if new_runtime:
            heading = (0, places[-1] - _HEADING)
            axes.annotate(
                RUNTIMES[runtime],
                heading,
                (4, 0),
                textcoords="offset points",
                va="center",
                color=svg.MUTED,
            )
        latency = results.latency(Key(model=model, runtime=runtime, maker=maker, precision=precision))
        if latency is None:
            continue
        p50, ours = latency.p50, maker == OURS
        axes.barh(places[-1], p50.value, 0.72, color=svg.ACCENT if ours else svg.SERIES[0])
        axes.plot([p50.interval.low, p50.interval.high], [places[-1]] * 2, color=svg.INK, lw=1)
        axes.annotate(
            f"{p50.value:.1f}",
            (max(p50.value, p50.interval.high), places[-1]),
            (3, 0),
            textcoords="offset points",
            va="center",
            color=svg.INK,
            weight="bold" if ours else "normal",
        )
        longest = max(longest, p50.interval.high)
    axes.set_xlim(0, 1.15 * longest)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", labelcolor=svg.INK)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_title(MODELS[model], loc="left", color=svg.INK, fontsize=10)
    axes.set_xlabel("median latency of an inference, one thread, ms")
