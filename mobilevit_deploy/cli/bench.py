"""``mobilevit-deploy bench``: latency and memory of artifacts on devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import EXIT_FAILED, EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.bench.measurement import Measurement
    from mobilevit_deploy.bench.regression import Comparison

RESULTS = "measurements.jsonl"


def bench(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Artifacts, or folders of them.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            metavar="DEVICE",
            help="host, adb, adb:SERIAL, or arm64; may be repeated. Default: host, this machine. "
            "'mobilevit-deploy devices' lists them.",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Processes an artifact, at least; artifacts take turns.")
    ] = 5,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Steady inferences a process.")] = 50,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="SHARE",
            help="Add rounds until every median is known this well (95 % interval); 'off' adds none.",
        ),
    ] = "2%",
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", min=0, help="Begin no further round after this long.")
    ] = 300,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads the runtimes may use.")] = 1,
    cores: Annotated[
        str,
        typer.Option("--cores", metavar="big|mid|little|MASK", help="Cores to stay on. Default: all."),
    ] = "",
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Look at memory, in a pass of its own.")
    ] = True,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="SOURCE",
            help="The checkpoint, where it is no longer where the artifact was made from: a device has to "
            "compute what it computes.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="FILE", help=f"Raw samples, appended. Default: {RESULTS} in --output."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the last run in --results, where it stopped.")
    ] = False,
    tool: Annotated[
        list[Path] | None,
        typer.Option(
            "--tool",
            metavar="FILE",
            help="On phones, run the vendor's own benchmark_model, onnxruntime_perf_test or executor_runner, "
            "as built for them, too; may be repeated.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Earlier measurements to compare with, as 'compare' does."
        ),
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        typer.Option(
            "--fail-if-slower",
            metavar="PERCENT",
            help="Exit with 1 if an artifact got slower than the baseline by more than this for certain.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write JUnit XML: parity, and latency if compared."),
    ] = None,
    output: options.Output = Path("exports"),
    json: options.Json = False,
) -> None:
    """Measure latency and memory on phones and on this machine, and keep every sample.

    On each device: every artifact must first **compute what its reference computes** there; one that does not
    is not timed. Then artifacts take turns, each turn in a process of its own, so that what changes with time
    hits all alike, until every median is known to 2 %. A phone is left to cool before each turn.

    **Phones rank differently:** a host's numbers compare files, they do not predict a phone.

    A pulled cable, a reboot or Ctrl-C costs the measurement in flight: the same command with **--resume**
    goes on from there.

    Examples:

        mobilevit-deploy bench

        mobilevit-deploy bench --device adb --cores big --threads 2

        mobilevit-deploy bench exports/*.onnx --baseline before.jsonl --fail-if-slower 5%
    """
    from mobilevit_deploy.bench.records import collect_measurements
    from mobilevit_deploy.bench.regression import gate
    from mobilevit_deploy.bench.schedule import run
    from mobilevit_deploy.devices.selection import open_devices
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.output import write_text
    from mobilevit_deploy.report import comparison

    paths = options.artifacts(files, output)
    threshold = options.threshold(fail_if_slower)
    if threshold is not None and baseline is None:
        raise UsageError(
            "--fail-if-slower compares with a baseline, and there is none.", remedy="Add --baseline FILE."
        )
    base = collect_measurements(baseline) if baseline else []
    results = results or output / RESULTS
    wanted = options.share(precision)
    devices = open_devices(device or [], tool or [])
    with console.bench_progress() as on_progress:
        try:
            made = run(
                paths,
                rounds=rounds,
                samples=samples,
                threads=threads,
                cores=cores,
                precision=wanted,
                max_seconds=max_seconds,
                memory=memory,
                model=model,
                output=results,
                resume=resume,
                on_progress=on_progress,
                devices=devices,
            )
        finally:
            for opened in devices:
                opened.close()
    compared = gate(base, made, threshold) if baseline else None
    if json:
        document = {"measurements": [measurement.model_dump(mode="json") for measurement in made]}
        console.print_json(
            document if compared is None else {**document, "comparison": compared.model_dump(mode="json")}
        )
    else:
        typer.echo(_rendered(paths, made))
        if compared:
            typer.echo(comparison.render_terminal(compared))
        console.stdout().print(f"[dim]Every sample: {results}. Next: mobilevit-deploy report {output}[/dim]")
    if junit:
        write_text(junit, _junit(paths, made, compared))
        console.stderr().print(f"Wrote {junit}.", soft_wrap=True)
    _leave(made)
    if compared and not compared.passes(strict=False):
        raise typer.Exit(EXIT_NOT_PASSED)


def _rendered(paths: list[Path], made: list[Measurement]) -> str:
    from datetime import UTC, datetime

    from mobilevit_deploy.artifact import read_manifest
    from mobilevit_deploy.report import terminal
    from mobilevit_deploy.report.gather import compose

    manifests = {str(path): read_manifest(path) for path in paths}
    return terminal.render(compose(manifests, made, folder="", now=datetime.now(UTC)))


def _junit(paths: list[Path], made: list[Measurement], compared: Comparison | None) -> str:
    from mobilevit_deploy.artifact import read_manifest
    from mobilevit_deploy.report import junit

    manifests = {str(path): read_manifest(path) for path in paths}
    return junit.render(
        {
            "parity": [*junit.parity_cases(manifests), *junit.device_cases(made)],
            "latency": junit.latency_cases(compared) if compared else [],
        }
    )


def _leave(made: list[Measurement]) -> None:
    if any(each.outcome.status == "failed" for each in made):
        raise typer.Exit(EXIT_FAILED)
    if any(each.is_wrong for each in made):
        raise typer.Exit(EXIT_NOT_PASSED)
