"""``mobilevit-deploy compare``: whether new measurements are slower than old ones, as a gate for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.bench.regression import Comparison


def compare(
    base: Annotated[
        Path,
        typer.Argument(metavar="BASE", help="How it was: a file that bench wrote, or a folder."),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="How it is, likewise.")],
    fail_if_slower: Annotated[
        str | None,
        typer.Option(
            "--fail-if-slower",
            metavar="PERCENT",
            help="Exit with 1 if the latency of an artifact rose by more than this for certain, such as 5%.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on what cannot be told, too: without proof, no pass.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown, for a pull request.")
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit", metavar="FILE", help="Write JUnit XML: latency, and parity of the artifacts in NEW."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare two runs of 'bench', of the same artifacts exported at two times.

    Artifacts are matched by model, target, precision, image size, device and threads. One is **slower** if
    the whole 95% interval of the ratio of medians lies above what is allowed, **faster** if it lies as far
    below, and **cannot tell** if the interval holds the threshold. That last verdict, or an artifact that
    NEW lacks, is a warning; with `--strict` it fails. Measure 5 rounds on both sides to see 3%.

    Exit codes: 0 nothing is slower than allowed, 1 something is, 2 wrong usage, 3 nothing to compare.

    Examples:

        mobilevit-deploy compare before.jsonl exports --fail-if-slower 5%

        mobilevit-deploy compare before.jsonl after.jsonl --fail-if-slower 5% --strict --junit latency.xml
    """
    from mobilevit_deploy.bench.records import collect_measurements
    from mobilevit_deploy.bench.regression import gate
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.output import write_text
    from mobilevit_deploy.report import comparison as report

    threshold = options.threshold(fail_if_slower)
    if strict and threshold is None:
        raise UsageError(
            "--strict makes a gate stricter, and there is none.", remedy="Add --fail-if-slower 5%."
        )
    compared = gate(collect_measurements(base), collect_measurements(new), threshold)
    if json:
        console.print_json({"passed": compared.passes(strict=strict), **compared.model_dump(mode="json")})
    else:
        typer.echo(report.render_terminal(compared))
    if markdown:
        write_text(markdown, report.render_markdown(compared))
        console.stderr().print(f"Wrote {markdown}.", soft_wrap=True)
    if junit:
        write_text(junit, _junit(compared, new, strict=strict))
        console.stderr().print(f"Wrote {junit}.", soft_wrap=True)
    if not compared.passes(strict=strict):
        raise typer.Exit(EXIT_NOT_PASSED)


def _junit(compared: Comparison, new: Path, *, strict: bool) -> str:
    from mobilevit_deploy.report import junit
    from mobilevit_deploy.report.gather import read_artifacts

    # Beside a folder's measurements lie the artifacts; a file may have come from anywhere.
    manifests, broken = read_artifacts(new) if new.is_dir() else ({}, [])
    return junit.render(
        {
            "parity": junit.parity_cases(manifests, broken),
            "latency": junit.latency_cases(compared, strict=strict),
        }
    )
