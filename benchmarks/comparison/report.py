"""Writes what a run found: ``peers.json``, ``peers.md``, and the plot for light and dark pages."""

from __future__ import annotations

from pathlib import Path

from benchmarks.comparison.plot import drawings
from benchmarks.comparison.results import Results
from benchmarks.comparison.tables import markdown


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write the files, and return them. The plot needs something that was timed."""
    # Where a file lies is nobody else's concern.
    document = results.model_dump_json(exclude={"entries": {"__all__": {"path"}}})
    contents = {"peers.json": document + "\n", "peers.md": markdown(results)}
    if results.turns:
        contents |= {f"peers-{theme}.svg": drawing for theme, drawing in drawings(results).items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]
