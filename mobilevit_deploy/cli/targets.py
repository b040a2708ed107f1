"""``mobilevit-deploy targets``: what can be exported here, and why not."""

from __future__ import annotations

from mobilevit_deploy.cli import console, options


def targets(json: options.Json = False) -> None:
    """List the targets: format, precisions, what runs the file here; where one is unusable, why."""
    from mobilevit_deploy.target import get_target, target_names

    found = [(get_target(name), get_target(name).availability()) for name in target_names()]
    if json:
        console.print_json(
            {
                "targets": [
                    {
                        "name": target.name,
                        "suffix": target.suffix,
                        "precisions": [str(precision) for precision in target.precisions],
                        "usable": here.usable,
                        "engine": here.engine,
                        "reason": here.reason,
                        "remedy": here.remedy,
                    }
                    for target, here in found
                ]
            }
        )
        return

    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("target", "file", "precisions", "usable", "run here by"):
        table.add_column(heading)
    for target, here in found:
        usable = "[green]yes[/green]" if here.usable else "[bold red]no[/bold red]"
        table.add_row(target.name, target.suffix, " ".join(target.precisions), usable, here.engine)
    console.stdout().print(table)
    for target, here in found:
        if not here.usable:
            console.stdout().print(
                f"{target.name}: {escape(here.reason)}. [bold]Next:[/bold] {escape(here.remedy)}"
            )
