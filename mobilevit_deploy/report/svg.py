"""Figures as inline SVG: drawn by matplotlib, coloured and typeset by the page's own style sheet.

Figures are made without pyplot, so that nothing of the caller's is touched, and the same data gives the same
drawing. Colours are placeholders for CSS variables: one drawing serves light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, ACCENT = "#010203", "#040506", "#070809", "#0a0b0c"
SERIES = ("#110001", "#110002", "#110003", "#110004", "#110005", "#110006")
MARKERS = ("o", "s", "^", "D", "v", "P")

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)},
}

_STYLE: Any = {
    "svg.hashsalt": "mobilevit-deploy",  # ids are random otherwise
    "svg.fonttype": "none",  # text stays text: it can be read aloud and searched, and takes the page's font
    "text.parse_math": False,  # a dollar in a file name is a dollar
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.constrained_layout.h_pad": 0.08,  # inches, that headings of panels need
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw within this; whatever the caller had set in matplotlib is given back."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def new_figure(width_in: float, *heights_in: float) -> tuple[Figure, list[Axes]]:
    """A transparent figure with a pair of axes of each height, one below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, sum(heights_in)), layout="constrained")
    figure.patch.set_alpha(0)
    panels = list(figure.subplots(len(heights_in), squeeze=False, height_ratios=heights_in)[:, 0])
    for axes in panels:
        axes.patch.set_alpha(0)
    return figure, panels


def inline(figure: Figure, name: str, *, title: str, description: str) -> str:
    """The figure as an ``<svg>`` element for a page; ``name`` makes its ids unique there.

    ``title`` and ``description`` are what is read aloud. All text is escaped.
    """
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    drawing = target.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', drawing)
    drawing = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", drawing)
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, variable)
    opening = re.compile(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', flags=re.DOTALL)
    box = opening.match(drawing)
    assert box is not None
    head = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-description" viewBox="{box[1]}">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(description)}</desc>'
    )
    return head + drawing[box.end() :]
