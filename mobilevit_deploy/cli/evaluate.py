"""``mobilevit-deploy evaluate``: how many answers of a file are right, and how many are the reference's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import EXIT_FAILED, EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.accuracy.result import AccuracyResult
    from mobilevit_deploy.parallel import Outcome


def evaluate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Artifacts, or folders of them.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            metavar="DIR",
            help="Labelled pictures: a subfolder for each class, named by label or number; or, for masks, "
            "images and masks. Default: held-out pictures of the bundled models.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", min=1, help="How many, spread evenly. Default: all, or 480 held-out ones."),
    ] = None,
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=0, max=100, help="Points of top-1 or mIoU that may be lost.")
    ] = 1.0,
    min_agreement: Annotated[
        float,
        typer.Option("--min-agreement", min=0, max=100, help="Per cent of answers that must stay the same."),
    ] = 98.0,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="SOURCE", help="Reference. Default: the model that the manifest names."
        ),
    ] = None,
    output: options.Output = Path("exports"),
    json: options.Json = False,
) -> None:
    """Run artifacts over labelled pictures: top-1 and top-5, or mIoU, and agreement with the reference.

    The exit code is 1 if a file loses more than it may.

    Examples:

        mobilevit-deploy evaluate

        mobilevit-deploy evaluate exports/*-int8.tflite --pictures imagenet/val --count 1000
    """
    from mobilevit_deploy import pipeline
    from mobilevit_deploy.accuracy.gate import judge
    from mobilevit_deploy.accuracy.result import Gate
    from mobilevit_deploy.parallel import Job, run

    paths = options.artifacts(files, output)
    if model is not None:
        console.prepare_model(model)
    choices = {"pictures": pictures, "count": count, "model": model}
    jobs = [Job(str(path), pipeline.evaluate, {"path": path, **choices}) for path in paths]
    with console.job_progress([job.key for job in jobs]) as on_event:
        outcomes = run(jobs, on_event=on_event)
    gate = Gate(max_drop=max_drop / 100, min_agreement=min_agreement / 100)
    judged = {key: judge(made.result, gate) for key, made in outcomes.items() if made.result}
    if json:
        console.print_json({"artifacts": [_record(key, outcomes[key], judged) for key in outcomes]})
    else:
        _print(outcomes, judged)
    if any(outcome.error for outcome in outcomes.values()):
        raise typer.Exit(EXIT_FAILED)
    if any(accuracy.verdict != "pass" for accuracy in judged.values()):
        raise typer.Exit(EXIT_NOT_PASSED)


def _record(path: str, outcome: Outcome, judged: dict[str, AccuracyResult]) -> dict[str, object]:
    if outcome.error:
        return {"path": path, "error": outcome.error.as_dict()}
    return {"path": path, "accuracy": judged[path].model_dump(mode="json")}


def _print(outcomes: dict[str, Outcome], judged: dict[str, AccuracyResult]) -> None:
    from rich.markup import escape

    for path, outcome in outcomes.items():
        if outcome.error:
            console.show_error(outcome.error, about=path)
            continue
        accuracy = judged[path]
        found = accuracy.evaluation
        assert found is not None
        style = console.VERDICT_STYLE[accuracy.verdict]
        seen = f"{found.count} of {found.pictures}, run by {found.engine}"
        console.stdout().print(f"[{style}]{accuracy.verdict}[/]  {escape(path)}  [dim]{escape(seen)}[/dim]")
        scores = [(found.measure, found.score), *([("top-5", found.top5)] if found.top5 else [])]
        for name, score in scores:
            console.stdout().print(
                f"      {name}: reference {score.reference:.2%}, file {score.artifact:.2%}"
            )
        decisions = "pixels" if found.top5 is None else "answers"
        console.stdout().print(f"      {console.share(found.agreement)} of {decisions} are the reference's")
        for reason in accuracy.reasons:
            console.stdout().print(f"      [red]{escape(reason)}[/red]")
