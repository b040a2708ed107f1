"""``mobilevit-deploy targets``: what can be exported here, and why not."""

from __future__ import annotations

from dataclasses import asdict

from mobilevit_deploy.cli import console, options


def targets(json: options.Json = False) -> None:
    """List the targets: format, precisions, converters, what runs the file here; or why one is unusable."""
    from mobilevit_deploy.target import survey

    found = survey()
    if json:
        console.print_json(
            {
                "targets": [
                    {
                        "name": name,
                        "suffix": target.suffix if target else None,
                        "precisions": [str(precision) for precision in target.precisions] if target else [],
                        "converters": list(target.converters) if target else [],
                        **asdict(here),
                    }
                    for name, (target, here) in found.items()
                ]
            }
        )
        return

    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("target", "file", "precisions", "converters", "usable", "run here by"):
        table.add_column(heading)
    for name, (target, here) in found.items():
        offer = (
            (target.suffix, " ".join(target.precisions), " ".join(target.converters))
            if target
            else ("", "", "")
        )
        usable = "[green]yes[/green]" if here.usable else "[bold red]no[/bold red]"
        table.add_row(name, *offer, usable, here.engine)
    console.stdout().print(table)
    for name, (_, here) in found.items():
        if not here.usable:
            console.stdout().print(f"{name}: {escape(here.reason)}. [bold]Next:[/bold] {escape(here.remedy)}")
