"""The command tree."""

from __future__ import annotations

from typing import Annotated

import typer

from mobilevit_deploy.cli.bench import bench
from mobilevit_deploy.cli.compare import compare
from mobilevit_deploy.cli.convert import convert
from mobilevit_deploy.cli.describe import describe
from mobilevit_deploy.cli.devices import app as devices
from mobilevit_deploy.cli.doctor import doctor
from mobilevit_deploy.cli.evaluate import evaluate
from mobilevit_deploy.cli.export import export
from mobilevit_deploy.cli.inspect import inspect
from mobilevit_deploy.cli.predict import predict
from mobilevit_deploy.cli.quantize import quantize
from mobilevit_deploy.cli.report import report
from mobilevit_deploy.cli.sweep import sweep
from mobilevit_deploy.cli.targets import targets
from mobilevit_deploy.cli.verify import verify

app = typer.Typer(
    name="mobilevit-deploy",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"mobilevit-deploy {version('mobilevit-deploy')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Put MobileViT on phones: export, prove parity, measure.

    One PyTorch reference feeds TFLite, Core ML, ExecuTorch and ONNX. Every exported file is run by its
    runtime and compared with the reference before it counts.

    **Start here** (uses a small bundled model):

        mobilevit-deploy export --target all

        mobilevit-deploy report exports

        mobilevit-deploy export --model demo-segmentation --target all --argmax

    Exit codes: 0 every verdict is a pass, 1 one is not, 2 wrong usage, 3 bad input or a failed stage.
    """


for command in (
    export,
    verify,
    evaluate,
    quantize,
    predict,
    describe,
    inspect,
    convert,
    bench,
    sweep,
    compare,
    report,
    targets,
    doctor,
):
    app.command()(command)

app.add_typer(devices, name="devices")
