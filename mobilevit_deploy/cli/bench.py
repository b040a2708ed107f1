"""``mobilevit-deploy bench``: latency of artifacts on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import EXIT_FAILED, EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from collections.abc import Callable

    from mobilevit_deploy.bench.measurement import Measurement
    from mobilevit_deploy.bench.schedule import Progress

RESULTS = "measurements.jsonl"


def bench(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Artifacts, or folders of them.")
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Processes an artifact; artifacts take turns.")
    ] = 3,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Steady inferences a process.")] = 50,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads the runtimes may use.")] = 1,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="FILE", help=f"Raw samples, appended. Default: {RESULTS} in --output."
        ),
    ] = None,
    output: options.Output = Path("exports"),
    json: options.Json = False,
) -> None:
    """Measure load, first and steady-state latency on this machine, and keep every sample.

    Artifacts take turns, each turn in a process of its own, so that what changes with time hits all alike. An
    artifact that failed parity is not timed. **Phones rank differently:** a host's numbers compare
    files, they do not predict a phone.

    Examples:

        mobilevit-deploy bench

        mobilevit-deploy bench exports/*.onnx exports/*.tflite --rounds 5 --threads 2
    """
    from mobilevit_deploy.bench.schedule import run

    paths = options.artifacts(files, output)
    results = results or output / RESULTS
    with _progress() as on_progress:
        made = run(
            paths, rounds=rounds, samples=samples, threads=threads, output=results, on_progress=on_progress
        )
    if json:
        console.print_json({"measurements": [measurement.model_dump(mode="json") for measurement in made]})
    else:
        typer.echo(_rendered(paths, made))
        console.stdout().print(f"[dim]Every sample: {results}. Next: mobilevit-deploy report {output}[/dim]")
    _leave(made)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    out = console.stderr()
    if not out.is_terminal:
        yield (
            lambda at: (
                out.print(f"{at.done}/{at.total}  {at.running.file}, round {at.round}")
                if at.running
                else None
            )
        )
        return

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=out, transient=True) as bar:
        task = bar.add_task("starting")
        yield lambda at: bar.update(
            task,
            completed=at.done,
            total=at.total,
            description=f"{at.running.file}, round {at.round}" if at.running else "done",
        )


def _rendered(paths: list[Path], made: list[Measurement]) -> str:
    from datetime import UTC, datetime

    from mobilevit_deploy.artifact import read_manifest
    from mobilevit_deploy.report import data, terminal

    manifests = {str(path): read_manifest(path) for path in paths}
    return terminal.render(data.compose(manifests, made, folder="", now=datetime.now(UTC)))


def _leave(made: list[Measurement]) -> None:
    statuses = {measurement.outcome.status for measurement in made}
    if "failed" in statuses:
        raise typer.Exit(EXIT_FAILED)
    if "refused" in statuses:
        raise typer.Exit(EXIT_NOT_PASSED)
