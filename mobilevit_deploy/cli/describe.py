"""``mobilevit-deploy describe``: what a file is, from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobilevit_deploy.cli import EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.description import Description

_SHOWN_LABELS = 8


def describe(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite, .onnx, .pte or .mlpackage.")],
    json: options.Json = False,
) -> None:
    """Say what a file takes and gives, and how to feed it, from the file alone.

    Any program's files will do; those of `export` also say how to prepare a picture, and what their classes
    are called. Where a manifest lies beside the file and says something else, the exit code is 1.

    Examples:

        mobilevit-deploy describe exports/mobilevit-xxs-shapes-256-fp32.tflite

        mobilevit-deploy describe model.onnx --json
    """
    from rich.markup import escape

    from mobilevit_deploy.description import describe as read

    target, found, warnings = read(file)
    if json:
        console.print_json(_document(file, target, found, warnings))
    else:
        _print(file, target, found)
        for warning in warnings:
            console.stdout().print(f"[bold yellow]Warning[/]: {escape(warning)}")
    if warnings:
        raise typer.Exit(EXIT_NOT_PASSED)


def _document(file: Path, target: str, found: Description, warnings: list[str]) -> dict[str, Any]:
    from mobilevit_deploy.artifact import size

    return {
        "file": str(file),
        "target": target,
        "bytes": size(file),
        "inputs": [spec.model_dump(mode="json") for spec in found.inputs],
        "outputs": [spec.model_dump(mode="json") for spec in found.outputs],
        "card": found.card.model_dump(mode="json") if found.card else None,
        "labels": found.labels,
        "details": dict(found.details),
        "warnings": warnings,
    }


def _print(file: Path, target: str, found: Description) -> None:
    from rich.markup import escape
    from rich.table import Table

    from mobilevit_deploy.artifact import size
    from mobilevit_deploy.report import feeding

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")  # a path is of use whole only

    def line(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    line("file", f"{file} ({target}, {console.megabytes(size(file))})")
    if found.card:
        line("model", f"{found.card.model}, {found.card.task}, {found.card.precision}")
    for spec in found.inputs:
        line("takes", feeding.tensor(spec))
    if found.card:
        for number, step in enumerate(feeding.steps(found.card.preprocessing, found.inputs[0]), start=1):
            line("prepare" if number == 1 else "", f"{number}. {step}")
    for spec in found.outputs:
        line("gives", feeding.tensor(spec))
    labels = found.labels or (found.card.labels if found.card else ())
    if labels:
        line("classes", _listed(labels))
    if found.card:
        line("written by", found.card.producer)
    for name, value in found.details.items():
        line(name, value)
    console.stdout().print(table)
    if found.card is None:
        console.stdout().print(
            "[dim]It does not say how to prepare a picture: mobilevit-deploy did not write it.[/dim]"
        )


def _listed(labels: tuple[str, ...]) -> str:
    rest = len(labels) - _SHOWN_LABELS
    return ", ".join(labels[:_SHOWN_LABELS]) + (f" and {rest} more" if rest > 0 else "")
