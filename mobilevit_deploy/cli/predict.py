"""``mobilevit-deploy predict``: classify one picture, reference and artifacts side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console, options

if TYPE_CHECKING:
    from mobilevit_deploy.pipeline import Prediction


def predict(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture in any common format.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="Compare with this target's artifact; exports it if need be.",
        ),
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option("--artifact", metavar="FILE", help="Compare with this artifact.")
    ] = None,
    model: options.Model = None,
    precision: Annotated[
        str, typer.Option("--precision", "-p", metavar="NAME", help="Of the target's artifact.")
    ] = "fp32",
    output: options.Output = Path("exports"),
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to print.")] = 5,
    json: options.Json = False,
) -> None:
    """Classify a picture: the best classes of the reference, and of an exported file beside them.

    Examples:

        mobilevit-deploy predict photo.jpg

        mobilevit-deploy predict photo.jpg --target tflite
    """
    from mobilevit_deploy import pipeline
    from mobilevit_deploy.output import remove_abandoned
    from mobilevit_deploy.parallel import Job, run_one

    if artifact is None or model is not None:
        console.prepare_model(model)
    job = Job(
        "predict",
        pipeline.predict,
        {
            "image": image,
            "artifact": artifact,
            "model": model,
            "target": target,
            "precision": precision,
            "output": output,
        },
    )
    try:
        with console.job_progress([job.key]) as on_event:
            prediction: Prediction = run_one(job, on_event=on_event)
    finally:
        remove_abandoned(output)  # it may have been exporting
    if json:
        console.print_json({name: _ranked(prediction, top, name) for name in prediction.columns})
    else:
        _print(prediction, top)


def _ranked(prediction: Prediction, top: int, column: str) -> list[dict[str, object]]:
    best = prediction.best(top, of=column)
    return [{"label": label, "probability": probability} for label, probability in best]


def _print(prediction: Prediction, top: int) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("reference (PyTorch)", min_width=28)
    if prediction.artifact is not None:
        table.add_column(prediction.engine or "artifact", min_width=28)
    rows = zip(*(prediction.best(top, of=name) for name in prediction.columns), strict=True)
    for rank, row in enumerate(rows, start=1):
        table.add_row(str(rank), *(f"{probability:6.2%}  {label}" for label, probability in row))
    console.stdout().print(table)
