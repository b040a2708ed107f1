"""``mobilevit-deploy inspect``: which operator of a file runs where, before anyone owns the phone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.inspection import Delegation, Finding, Inspection


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite, .onnx, .pte or .mlpackage.")],
    accelerator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Look at one accelerator alone, such as xnnpack or neural-engine. Default: at all that run "
            "such files.",
        ),
    ] = None,
    require_full_delegation: Annotated[
        bool,
        typer.Option(
            "--require-full-delegation", help="Exit code 1 unless each accelerator takes every operator."
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Say which operator of a file runs where, what keeps an accelerator from the others, and what it costs.

    Any program's files will do; nothing is run, and no phone is needed. Every warning comes with its rule and
    the public source of that rule.

    Examples:

        mobilevit-deploy inspect exports/mobilevit-xxs-shapes-256-fp32.tflite

        mobilevit-deploy inspect model.pte --accelerator xnnpack --require-full-delegation
    """
    from mobilevit_deploy.inspection import inspect as look

    target, found = look(file)
    if accelerator is not None:
        found = found.only(accelerator)
    if json:
        console.print_json({"file": str(file), "target": target, **found.model_dump(mode="json")})
    else:
        _print(file, target, found)
    if require_full_delegation and not found.full:
        raise typer.Exit(EXIT_NOT_PASSED)


def _print(file: Path, target: str, found: Inspection) -> None:
    from rich.markup import escape
    from rich.table import Table

    from mobilevit_deploy.artifact import size

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")  # a path is of use whole only
    table.add_row("file", escape(f"{file} ({target}, {console.megabytes(size(file))})"))
    for delegation in found.delegations:
        table.add_row(delegation.accelerator, _taken(delegation))
    out = console.stdout()
    out.print(table)
    for delegation in found.delegations:
        for finding in delegation.findings:
            out.print()
            _print_finding(delegation, finding)
    out.print()
    out.print(_counts(found))
    for note in found.notes:
        out.print(f"[dim]{escape(note)}[/dim]")


def _taken(delegation: Delegation) -> str:
    style = "green" if delegation.full else "yellow"
    pieces = "1 piece" if delegation.partitions == 1 else f"{delegation.partitions} pieces"
    return (
        f"[{style}]{delegation.taken} of {delegation.total} operators[/{style}], in {pieces} "
        f"[dim](says {delegation.told_by})[/dim]"
    )


def _print_finding(delegation: Delegation, finding: Finding) -> None:
    from rich.markup import escape

    first = finding.operators[0]
    verdict = "[bold yellow]leaves[/]" if finding.refused else "[bold cyan]takes at a price[/]"
    kinds = _listed(Counter(operator.kind for operator in finding.operators))
    out = console.stdout()
    out.print(f"[bold]{delegation.accelerator}[/] {verdict} {escape(kinds)}")
    for name, text in (
        ("rule", finding.rule),
        ("such as", f"{first.kind} {first.name}: {first.tensors}"),
        ("do", finding.remedy),
        ("source", finding.source),
    ):
        out.print(f"  [dim]{name:<7}[/dim]  {escape(text)}")


def _counts(found: Inspection) -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("operators", escape(f"{sum(found.operators.values())}: {_listed(found.operators)}"))
    table.add_row("parameters", f"{found.parameters:,}")
    table.add_row("multiply-adds", f"{found.multiply_adds / 1e6:,.1f} million")
    table.add_row("activations", f"{console.megabytes(found.peak_activation_bytes)} at their peak")
    return table


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
