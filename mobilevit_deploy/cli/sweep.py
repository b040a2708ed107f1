"""``mobilevit-deploy sweep``: a matrix of exports and measurements from one file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobilevit_deploy.cli import EXIT_FAILED, EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mobilevit_deploy.bench.measurement import Measurement
    from mobilevit_deploy.sweep.made import Made
    from mobilevit_deploy.sweep.matrix import Matrix
    from mobilevit_deploy.sweep.plan import Plan
    from mobilevit_deploy.sweep.run import Workplace


def sweep(
    file: Annotated[Path | None, typer.Argument(metavar="FILE.toml", help="What to sweep over.")] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a file to begin with, every key explained.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, what is there and what is skipped.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="auto|local|ADDRESS",
            help="Export on a Ray cluster: the one that this machine is in, one started here, or that at an "
            "address. Models and pictures have to be in the same place on every node.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Export and measure every combination of models, targets, precisions, sizes, threads and devices.

    First everything is exported and proven, side by side; then what passed is measured, artifacts taking
    turns. **Whatever stops it, the same command goes on from there:** an artifact is made again only if its
    model, options or libraries changed, and nothing is measured twice. To measure anew, remove
    measurements.jsonl from the output folder.

    A file such as

        models = ["demo", "apple/mobilevit-x-small"]

        targets = ["all"]

        precisions = ["fp32", "int8"]

        threads = [1, 4]

        devices = ["host", "adb"]

    is enough; **--example** prints one with every key.

    Examples:

        mobilevit-deploy sweep --example > sweep.toml

        mobilevit-deploy sweep sweep.toml --dry-run

        mobilevit-deploy sweep sweep.toml

        mobilevit-deploy sweep sweep.toml --ray auto
    """
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.sweep.made import look
    from mobilevit_deploy.sweep.matrix import expand
    from mobilevit_deploy.sweep.plan import EXAMPLE, read_plan

    if example:
        typer.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)
        return
    if file is None:
        raise UsageError(
            "There is no file to sweep by.",
            remedy="Begin one with 'mobilevit-deploy sweep --example > sweep.toml'.",
        )
    plan = read_plan(file)
    matrix = expand(plan)
    made = look(plan, matrix.variants)
    _say_skipped(matrix)
    if dry_run:
        _show(plan, matrix, made, json=json)
        return
    with _workplace(ray, plan) as where:
        made, measurements = _sweep(plan, matrix, made, where)
    if json:
        console.print_json(_document(matrix, made, measurements))
    else:
        _print(plan, made, measurements)
    _leave(made, measurements)


def _workplace(address: str | None, plan: Plan) -> AbstractContextManager[Workplace]:
    if address is None:
        from mobilevit_deploy.sweep.run import Here

        return nullcontext(Here())
    from mobilevit_deploy.sweep.ray import joined

    return joined(address, plan.ray.timing)


def _sweep(
    plan: Plan, matrix: Matrix, made: list[Made], where: Workplace
) -> tuple[list[Made], list[Measurement]]:
    from mobilevit_deploy.sweep import run

    err = console.stderr()
    found = run.measured(plan)
    todo = [step for step in matrix.passes if not run.is_through(plan, step, made, found)]
    keys = [each.variant.key for each in made if each.to_do]
    measurements = [
        each for step in matrix.passes if step not in todo for each in run.results(step, made, found)
    ]
    with run.devices_of(todo, where) as opened:
        there = sum(each.manifest is not None for each in made)
        err.print(f"Exports: {len(keys)} to make, {there} are there.")
        with console.job_progress(keys) as on_event:
            made = run.make(plan, made, where, on_event)
        for number, step in enumerate(todo, start=1):
            err.print(f"Measuring, {number} of {len(todo)}: {step}.")
            with console.bench_progress() as on_progress:
                measurements += run.measure(plan, step, made, opened, on_progress)
    return made, measurements


def _say_skipped(matrix: Matrix) -> None:
    from rich.markup import escape

    for why, count in matrix.skipped.items():
        of_them = "1 combination" if count == 1 else f"{count} combinations"
        console.stderr().print(f"[dim]Skipped {of_them}: {escape(why)}[/dim]")


def _show(plan: Plan, matrix: Matrix, made: list[Made], *, json: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from mobilevit_deploy.sweep import run

    found = run.measured(plan)
    rows = []
    for each in made:
        steps = [step for step in matrix.passes if each.variant in step.variants]
        done = sum(run.is_finished(plan, step, each.variant, made, found) for step in steps)
        rows.append((each, done, len(steps)))
    if json:
        artifacts = [
            {**_record(each), "measured": done, "to_measure": count - done} for each, done, count in rows
        ]
        console.print_json({"artifacts": artifacts, "passes": _passes(matrix), "skipped": matrix.skipped})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("artifact", "export", "measured"):
        table.add_column(heading)
    for each, done, count in rows:
        measured = "" if each.error else f"{done} of {count}"
        table.add_row(escape(each.variant.key), _state(each), measured)
    console.stdout().print(table)
    for number, step in enumerate(matrix.passes, start=1):
        console.stdout().print(f"Measurement {number}: {len(step.variants)} artifacts, {step}")
    _print_errors(made)


def _print_errors(made: list[Made]) -> None:
    """Each error once: a model that cannot be read has it for every artifact."""
    errors: dict[str, list[Made]] = {}
    for each in made:
        if each.error:
            errors.setdefault(str(each.error), []).append(each)
    for first, *others in errors.values():
        assert first.error
        more = f" and {len(others)} more" if others else ""
        console.show_error(first.error, about=first.variant.key + more)


def _state(made: Made) -> str:
    if made.to_do:
        return "to make"
    return "error" if made.error else "there" if made.manifest and made.manifest.passed else "failed"


def _record(made: Made) -> dict[str, Any]:
    record: dict[str, Any] = {**vars(made.variant), "state": _state(made)}
    if made.error:
        record["error"] = made.error.as_dict()
    if made.manifest:
        record["manifest"] = made.manifest.model_dump(mode="json")
    return {**record, "path": str(made.path) if made.path else None}


def _passes(matrix: Matrix) -> list[dict[str, Any]]:
    return [
        {
            "threads": step.threads,
            "cores": step.cores,
            "devices": step.devices,
            "artifacts": len(step.variants),
        }
        for step in matrix.passes
    ]


def _document(matrix: Matrix, made: list[Made], measurements: list[Measurement]) -> dict[str, Any]:
    return {
        "artifacts": [_record(each) for each in made],
        "skipped": matrix.skipped,
        "measurements": [each.model_dump(mode="json") for each in measurements],
    }


def _print(plan: Plan, made: list[Made], measurements: list[Measurement]) -> None:
    from datetime import UTC, datetime

    from mobilevit_deploy.report import terminal
    from mobilevit_deploy.report.gather import compose
    from mobilevit_deploy.sweep.run import RESULTS

    manifests = {
        each.path.relative_to(plan.output).as_posix(): each.manifest
        for each in made
        if each.path and each.manifest
    }
    if manifests:
        composed = compose(manifests, measurements, folder=plan.output.name, now=datetime.now(UTC))
        typer.echo(terminal.render(composed))
        console.stdout().print(
            f"[dim]Artifacts: {plan.output}. Every sample: {plan.output / RESULTS}. "
            f"Next: mobilevit-deploy report {plan.output} --html report.html[/dim]"
        )
    _print_errors(made)


def _leave(made: list[Made], measurements: list[Measurement]) -> None:
    if any(each.error for each in made) or any(each.outcome.status == "failed" for each in measurements):
        raise typer.Exit(EXIT_FAILED)
    unproven = not all(each.manifest and each.manifest.passed for each in made)
    if unproven or any(each.is_wrong for each in measurements):
        raise typer.Exit(EXIT_NOT_PASSED)
