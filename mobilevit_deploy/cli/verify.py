"""``mobilevit-deploy verify``: run the parity check of artifacts on disk again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import EXIT_FAILED, EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.parallel import Outcome
    from mobilevit_deploy.parity.result import OutputParity


def verify(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Artifacts, or folders of them.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="SOURCE", help="Reference. Default: the model that the manifest names."
        ),
    ] = None,
    output: options.Output = Path("exports"),
    json: options.Json = False,
) -> None:
    """Check that artifacts are unchanged since export and still compute what the reference computes.

    Examples:

        mobilevit-deploy verify

        mobilevit-deploy verify exports/mobilevit-xxs-shapes-256-fp32.onnx --json
    """
    from mobilevit_deploy import pipeline
    from mobilevit_deploy.parallel import Job, run

    paths = options.artifacts(files, output)
    if model is not None:
        console.prepare_model(model)
    jobs = [Job(str(path), pipeline.verify, {"path": path, "model": model}) for path in paths]
    with console.job_progress([job.key for job in jobs]) as on_event:
        outcomes = run(jobs, on_event=on_event)
    if json:
        console.print_json({"artifacts": [_record(key, outcome) for key, outcome in outcomes.items()]})
    else:
        _print(outcomes)
    if any(outcome.error for outcome in outcomes.values()):
        raise typer.Exit(EXIT_FAILED)
    if not all(outcome.result.passed for outcome in outcomes.values()):
        raise typer.Exit(EXIT_NOT_PASSED)


def _record(path: str, outcome: Outcome) -> dict[str, object]:
    if outcome.error:
        return {"path": path, "error": outcome.error.as_dict()}
    return {"path": path, "parity": outcome.result.model_dump(mode="json")}


def _print(outcomes: dict[str, Outcome]) -> None:
    from rich.markup import escape

    for path, outcome in outcomes.items():
        if outcome.error:
            console.show_error(outcome.error, about=path)
            continue
        parity = outcome.result
        style = console.VERDICT_STYLE[parity.verdict]
        console.stdout().print(
            f"[{style}]{parity.verdict}[/]  {escape(path)}  [dim]{escape(parity.engine)}[/dim]"
        )
        for worst in parity.outputs:
            console.stdout().print(f"      {worst.name}: {_figures(worst)}")
        for reason in parity.reasons:
            console.stdout().print(f"      [red]{escape(reason)}[/red]")


def _figures(worst: OutputParity) -> str:
    error, sqnr, agreement = console.parity_figures(worst)
    extremes = "" if worst.extremes_sqnr_db is None else f" ({worst.extremes_sqnr_db:.1f} dB on extremes)"
    numbers = (
        f"max error {error} of the spread, cosine {worst.cosine:.7f}, SQNR {sqnr}{extremes}, "
        if error
        else ""
    )
    of = "the pixels of " if worst.decides == "pixels" else ""
    return f"{numbers}best class agrees on {agreement} of {of}{len(worst.cases)} pictures"
