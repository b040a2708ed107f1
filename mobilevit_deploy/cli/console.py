"""What all subcommands share: where text goes, how progress, errors and verdicts look.

Results go to stdout; progress, notices and errors go to stderr, so that ``--json`` output stays clean.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.progress import name_of

if TYPE_CHECKING:
    from rich.console import Console

    from mobilevit_deploy.accuracy.result import AccuracyResult
    from mobilevit_deploy.bench.schedule import Progress
    from mobilevit_deploy.errors import DeployError
    from mobilevit_deploy.parallel import OnEvent
    from mobilevit_deploy.parity.result import OutputParity

VERDICT_STYLE = {"pass": "green", "fail": "bold red", "not-run": "yellow"}

_FEW_JOBS = 12
"""As many as have a line each, whether they run or not: more leave no room on a screen."""


def stdout() -> Console:
    """Console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """Console for everything else."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document to stdout."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def show_error(error: DeployError, *, about: str = "") -> None:
    """Print what is wrong, and below it what to do next."""
    from rich.markup import escape

    console = stderr()
    subject = f" ({escape(about)})" if about else ""
    console.print(f"[bold red]Error[/bold red] in {error.stage}{subject}: {escape(error.problem)}")
    console.print(f"  [bold]Next:[/bold] {escape(error.remedy)}")


def prepare_model(model: str | None) -> None:
    """Say so when the bundled model stands in; fetch one from the hub here, where its progress can be seen.

    Raises:
        CheckpointError: there is no such checkpoint.
        HubError: the hub cannot be reached or has no such model.
    """
    from mobilevit_deploy.model.hub import resolve_checkpoint

    if model is None:
        stderr().print(
            "[dim]Using the bundled demo model (12 drawn shapes). For ImageNet:[/dim] "
            "--model apple/mobilevit-xx-small"
        )
    else:
        resolve_checkpoint(model)


@contextmanager
def job_progress(keys: Sequence[str]) -> Iterator[OnEvent]:
    """Show one line a job with its stage and time; of many, how many are done, and lines of those that run.

    Plain lines where there is no terminal.
    """
    console = stderr()
    if not console.is_terminal:
        yield _plain_lines(console)
        return

    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    many = len(keys) > _FEW_JOBS
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = {
            key: progress.add_task(key, total=1, start=False, stage="waiting", visible=not many)
            for key in keys
        }
        whole = progress.add_task("all", total=len(keys), stage="", visible=many)

        def on_event(key: str, stage: str) -> None:
            progress.start_task(tasks[key])
            done = stage in {"done", "failed"}
            progress.update(tasks[key], stage=stage, completed=int(done), visible=not (many and done))
            progress.advance(whole, int(done))
            progress.update(whole, stage=f"{progress.tasks[whole].completed:.0f} of {len(keys)}")

        yield on_event


def _plain_lines(console: Console) -> OnEvent:
    """A line for each stage as it begins; how far it is would fill a log."""
    started = time.monotonic()
    current: dict[str, str] = {}

    def on_event(key: str, stage: str) -> None:
        if current.get(key) != (name := name_of(stage)):
            console.print(f"{time.monotonic() - started:6.1f} s  {key}: {name}")
        current[key] = name

    return on_event


@contextmanager
def bench_progress() -> Iterator[Callable[[Progress], None]]:
    """Show a bar a device with what it measures; plain lines where there is no terminal."""
    out = stderr()
    if not out.is_terminal:
        yield lambda at: out.print(f"{at.done}/{at.total}  {_doing(at)}") if at.running else None
        return

    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=out, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(at: Progress) -> None:
            if at.device not in tasks:
                tasks[at.device] = bar.add_task("starting")
            bar.update(tasks[at.device], completed=at.done, total=at.total, description=_doing(at))

        yield show


def _doing(at: Progress) -> str:
    return f"{at.device}: {at.running.file}, {at.doing}" if at.running else f"{at.device}: {at.doing}"


def parity_figures(output: OutputParity | None) -> tuple[str, str, str]:
    """Largest error, SQNR and agreement as a table shows them; empty where there is no such figure."""
    if output is None:
        return "", "", ""
    return (
        "" if output.max_error is None else f"{output.max_error:.1e}",
        "" if output.sqnr_db is None else f"{output.sqnr_db:.1f} dB",
        share(output.top1_agreement),
    )


def accuracy_figures(accuracy: AccuracyResult) -> str:
    """One line in the colour of the verdict, such as ``accuracy: top-1 97.92 -> 97.71 %``."""
    style, found = VERDICT_STYLE[accuracy.verdict], accuracy.evaluation
    if found is None:
        return f"[{style}]accuracy: {accuracy.verdict}[/]"
    score = found.score
    return (
        f"[{style}]accuracy: {found.measure} {100 * score.reference:.2f} -> {100 * score.artifact:.2f} %, "
        f"{share(found.agreement)} of answers as the reference's[/] "
        f"[dim]({found.count} of {found.pictures})[/dim]"
    )


def share(value: float) -> str:
    """A share as per cent; one that falls short of all never reads ``100%``."""
    return "100%" if value == 1 else f"{min(value, 0.9999):.2%}"


def megabytes(size: int) -> str:
    """Bytes as MB of 10^6."""
    return f"{size / 1e6:.2f} MB"
