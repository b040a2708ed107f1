"""``mobilevit-deploy report``: artifacts, parity and latency in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console, options


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of artifacts.")] = Path("exports"),
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a self-contained page with plots.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown, for a pull request.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show what lies in a folder of artifacts: parity, size, latency.

    Examples:

        mobilevit-deploy report exports

        mobilevit-deploy report exports --html report.html
    """
    from mobilevit_deploy.output import write_text
    from mobilevit_deploy.report.gather import gather

    gathered = gather(folder)
    if json:
        from mobilevit_deploy.report import json as as_json

        typer.echo(as_json.render(gathered))
    else:
        from mobilevit_deploy.report import terminal

        typer.echo(terminal.render(gathered))
    if html:
        from mobilevit_deploy.report import html as as_html

        write_text(html, as_html.render(gathered))
        console.stderr().print(f"Wrote {html}. Open it in a browser.", soft_wrap=True)
    if markdown:
        from mobilevit_deploy.report import markdown as as_markdown

        write_text(markdown, as_markdown.render(gathered))
        console.stderr().print(f"Wrote {markdown}.", soft_wrap=True)
