"""``mobilevit-deploy quantize``: int8 files, and which blocks of a model suffer from 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console, options

if TYPE_CHECKING:
    from mobilevit_deploy.quantize.sensitivity import Sensitivity

_DRAWN = (".svg", ".png", ".pdf")

_BAR = 8
"""Characters of the longest bar."""


def quantize(
    analyze: Annotated[
        bool,
        typer.Option("--analyze", help="Export nothing: quantise each block alone and show what suffers."),
    ] = False,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", metavar="NAME", help="As for export. Default: all that have int8."),
    ] = None,
    model: options.Model = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            "--image-size", metavar="SIDE", help="Input size, 256 or 192x256. Default: the checkpoint's."
        ),
    ] = None,
    calibration: options.Calibration = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="With --analyze: draw it as .svg, .png or .pdf."),
    ] = None,
    output: options.Output = Path("exports"),
    json: options.Json = False,
) -> None:
    """Export in int8, or find out what int8 costs each block of a model.

    An export that loses accuracy leaves the worst blocks in floating point by itself, in the order that
    **--analyze** shows.

    Examples:

        mobilevit-deploy quantize --target tflite

        mobilevit-deploy quantize --analyze --plot sensitivity.svg
    """
    from mobilevit_deploy.errors import UsageError

    if not analyze:
        if plot is not None:
            raise UsageError("--plot draws what --analyze finds.", remedy="Add --analyze.")
        from mobilevit_deploy.cli.export import export

        export(target, model, ["int8"], image_size, calibration=calibration, output=output, json=json)
        return
    if plot is not None and plot.suffix.lower() not in _DRAWN:
        raise UsageError(
            f"'{plot}' is no picture that can be drawn.", remedy=f"End it in {', '.join(_DRAWN)}."
        )
    found = _analysed(model, image_size, calibration)
    if plot is not None:
        _draw(found, plot)
    if json:
        console.print_json(_record(found))
    else:
        _print(found, plot)


def _analysed(model: str | None, image_size: str | None, calibration: Path | None) -> Sensitivity:
    from mobilevit_deploy import pipeline
    from mobilevit_deploy.parallel import Job, run_one

    console.prepare_model(model)
    request = {"model": model, "image_size": options.image_size(image_size), "calibration": calibration}
    with console.job_progress(["analyse"]) as on_event:
        found: Sensitivity = run_one(Job("analyse", pipeline.analyse, request), on_event=on_event)
    return found


def _record(found: Sensitivity) -> dict[str, object]:
    order = found.order()
    return {
        "pictures": found.pictures,
        "float_first": order,
        "blocks": [
            {
                "path": block.path,
                "sqnr_db": round(block.sqnr_db, 2),
                "multiply_adds": block.multiply_adds,
                "parameters": block.parameters,
            }
            for block in found.blocks
        ],
    }


def _print(found: Sensitivity, plot: Path | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    order = found.order()
    total = sum(block.multiply_adds for block in found.blocks)
    loudest = max(block.noise for block in found.blocks)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("block, quantised alone", no_wrap=True)
    for heading in ("SQNR dB", "work", "float"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("noise", no_wrap=True)
    for block in found.blocks:
        table.add_row(
            escape(block.path),
            f"{block.sqnr_db:.1f}",
            f"{block.multiply_adds / total:.1%}",
            f"{order.index(block.path) + 1}." if block.path in order else "",
            "[red]" + "\u2588" * round(_BAR * block.noise / loudest) + "[/red]",
        )
    console.stdout().print(table)
    console.stdout().print(
        f"[dim]SQNR: of the logits, over {found.pictures} pictures; work: share of all multiply-adds; float: "
        "the order in which an export that loses accuracy leaves blocks in floating point, most noise for "
        "the least work first[/dim]"
    )
    if plot is not None:
        console.stdout().print(f"Drawn in {escape(str(plot))}")


def _draw(found: Sensitivity, path: Path) -> None:
    import io

    from matplotlib.figure import Figure

    from mobilevit_deploy.output import write_bytes

    figure = Figure(figsize=(9, 0.8 + 0.19 * len(found.blocks)), layout="constrained")
    axes = figure.subplots()
    order = found.order()
    colours = ["#c2410c" if block.path in order else "#94a3b8" for block in found.blocks]
    names = [block.path for block in found.blocks]
    axes.barh(names, [block.sqnr_db for block in found.blocks], color=colours, height=0.7)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("SQNR of the logits with this block alone in 8 bits, dB: longer is better")
    axes.set_title(
        "Orange: first to stay in floating point if accuracy does not hold", fontsize=9, loc="left"
    )
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e2e8f0")
    axes.set_axisbelow(True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.lower().lstrip("."), dpi=150)
    write_bytes(path, drawn.getvalue())
