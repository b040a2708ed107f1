"""The report as JSON: everything that the other forms show, raw samples included."""

from __future__ import annotations

from mobilevit_deploy.report.data import Report


def render(report: Report) -> str:
    """One JSON object; infinite and undefined numbers are the strings ``Infinity`` and ``NaN``."""
    return report.model_dump_json(indent=2) + "\n"
