"""``mobilevit-deploy bench``: latency of artifacts on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
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
        _print_table(made)
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


def _print_table(made: list[Measurement]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from mobilevit_deploy.bench.measurement import Untimed
    from mobilevit_deploy.bench.statistics import summarise

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("artifact", no_wrap=True)
    for heading in ("size", "load", "first", "p50 ms", "95 % interval", "p90"):
        table.add_column(heading, justify="right", no_wrap=True)
    reasons = []
    for subject in dict.fromkeys(measurement.subject for measurement in made):
        own = [measurement for measurement in made if measurement.subject == subject]
        outcome = own[0].outcome
        height, width = subject.image_size
        cells = [f"{subject.target} {subject.precision} {height}x{width}", console.megabytes(subject.bytes)]
        timings = [measurement.timing for measurement in own if measurement.timing]
        if timings:
            latency = summarise([timing.samples_ms for timing in timings])
            cells += [
                f"{median(timing.load_ms for timing in timings):.1f}",
                f"{median(timing.first_ms for timing in timings):.1f}",
                f"{latency.p50.value:.2f}",
                f"{latency.p50.interval.low:.2f} to {latency.p50.interval.high:.2f}",
                f"{latency.p90:.2f}",
            ]
        elif isinstance(outcome, Untimed):
            cells += ["", "", f"[yellow]{outcome.status}[/yellow]"]
            reasons.append(f"{subject.file}: {outcome.reason}")
        table.add_row(*cells)
    console.stdout().print(table)
    for reason in reasons:
        console.stdout().print(escape(reason))


def _leave(made: list[Measurement]) -> None:
    statuses = {measurement.outcome.status for measurement in made}
    if "failed" in statuses:
        raise typer.Exit(EXIT_FAILED)
    if "refused" in statuses:
        raise typer.Exit(EXIT_NOT_PASSED)
