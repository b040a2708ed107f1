"""The report as one HTML page that needs nothing else: no network, no script, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.report import feeding, places, provenance, words
from mobilevit_deploy.report.data import Report
from mobilevit_deploy.report.plots import NARROW_IN, WIDE_IN, plots

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE = Path(__file__).parent


def render(report: Report) -> str:
    """A whole page. Every name and label in it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    timed = [row.timed for row in report.rows if row.timed]
    page = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    ).get_template("report.html.j2")
    return page.render(
        report=report,
        words=words,
        feeding=feeding,
        places=places,
        provenance=provenance,
        style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        plots=_both_widths(report),
        groups=places.groups(report),
        # Columns that nobody has figures for are left out.
        timed=timed,
        weighed=any(each.peak_bytes is not None for each in timed),
        prepared=any(each.preprocess_ms is not None for each in timed),
        judged=any(row.manifest.accuracy for row in report.rows),
    )


def _both_widths(report: Report) -> dict[str, Markup]:
    """Each plot for desktops and, with larger text, for phones; the style sheet shows one of them."""
    from markupsafe import Markup

    wide, narrow = plots(report, width_in=WIDE_IN), plots(report, width_in=NARROW_IN)
    # Our own markup; svg.inline escapes what is in it.
    shown = '<div class="on-desktop">{}</div><div class="on-phone">{}</div>'
    return {name: Markup(shown.format(wide[name], narrow[name])) for name in wide}  # noqa: S704
