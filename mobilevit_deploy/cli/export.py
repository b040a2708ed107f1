"""``mobilevit-deploy export``: checkpoint to proven artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobilevit_deploy.cli import EXIT_FAILED, EXIT_NOT_PASSED, console, options

if TYPE_CHECKING:
    from mobilevit_deploy.errors import DeployError
    from mobilevit_deploy.parallel import Job, Outcome

ALL = "all"


def export(
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="onnx, tflite, coreml, executorch or all (the default); repeatable.",
        ),
    ] = None,
    model: options.Model = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            "-p",
            metavar="NAME",
            help="fp32, fp16, int8, int8-dynamic, int8-weights, palette6, palette4 or all; repeatable. What "
            "each target offers: mobilevit-deploy targets. Default: fp32.",
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            "--image-size", metavar="SIDE", help="Input size, 256 or 192x256. Default: the checkpoint's."
        ),
    ] = None,
    input: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            "--input",
            metavar="image|tensor",
            help="What the file takes: the 8-bit RGB picture, so that no app can get scale or channel order "
            "wrong, or the tensor that the checkpoint takes.",
        ),
    ] = "image",
    argmax: Annotated[
        bool,
        typer.Option("--argmax", help="Segmentation: give the class of every pixel instead of logits."),
    ] = False,
    converter: Annotated[
        str | None,
        typer.Option(
            "--converter",
            metavar="NAME",
            help="TFLite: litert-torch (the default), keras or keras-select-tf-ops.",
        ),
    ] = None,
    channel_order: options.ChannelOrder = None,
    labels: options.Labels = None,
    calibration: options.Calibration = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--evaluation",
            metavar="DIR",
            help="Labelled pictures to judge 8-bit files on: a subfolder a class, or images and masks. "
            "Default: held-out pictures of the bundled models; a model of your own needs yours.",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate/--no-gate",
            help="Whether a file of 8 bits or fewer must keep accuracy: at most 1 point of top-1 or mIoU "
            "lost, 98 % of answers unchanged.",
        ),
    ] = True,
    output: options.Output = Path("exports"),
    json: options.Json = False,
) -> None:
    """Export a model, and prove that each file computes what the model computes.

    Several targets run side by side, each in a process of its own. An artifact that fails parity, or loses
    accuracy in 8 bits, goes to the subfolder **failed** and the exit code is 1.

    Examples:

        mobilevit-deploy export --target tflite

        mobilevit-deploy export --target all --precision all --model apple/mobilevit-xx-small

        mobilevit-deploy export --target coreml --model demo-segmentation --argmax

        mobilevit-deploy export --precision int8 --model ./mine --calibration photos/ --evaluation labelled/
    """
    from mobilevit_deploy.output import output_folder, remove_abandoned
    from mobilevit_deploy.parallel import run

    arguments = {
        "model": model,
        "image_size": options.image_size(image_size),
        "input": input,
        "argmax": argmax,
        "channel_order": channel_order,
        "labels": labels,
        "calibration": calibration,
        "evaluation": evaluation,
        "gate": gate,
        "output": output_folder(output),
    }
    jobs = _jobs(target or [ALL], precision or ["fp32"], converter, arguments)
    _check_use(jobs, calibration=calibration, evaluation=evaluation, gate=gate)
    console.prepare_model(model)
    try:
        with console.job_progress([job.key for job in jobs]) as on_event:
            outcomes = run(jobs, on_event=on_event)
    finally:
        remove_abandoned(output)  # a process that crashed or had to be killed could not do it itself
    if json:
        console.print_json({"exports": [_record(job, outcomes[job.key]) for job in jobs]})
    elif error := _common_error(list(outcomes.values())):
        raise error  # said once, not for every target
    else:
        _print_table(outcomes)
    _leave(list(outcomes.values()))


def _common_error(outcomes: list[Outcome]) -> DeployError | None:
    errors = [outcome.error for outcome in outcomes if outcome.error]
    different = {(type(error), error.problem, error.remedy) for error in errors}
    return errors[0] if len(errors) == len(outcomes) and len(different) == 1 else None


def _jobs(
    targets: list[str], precisions: list[str], converter: str | None, arguments: dict[str, Any]
) -> list[Job]:
    """One job for each target and precision asked for; of ``all``, those that have what is asked for."""
    from mobilevit_deploy import pipeline
    from mobilevit_deploy.choices import export_options
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.parallel import Job
    from mobilevit_deploy.target import get_target, target_names

    every = ALL in targets
    jobs = []
    for name in target_names() if every else dict.fromkeys(targets):
        chosen = get_target(name)
        offered = [str(precision) for precision in chosen.precisions]
        if every and converter is not None and converter not in chosen.converters:
            console.stderr().print(f"[dim]{name} has no converter {converter}: left out[/dim]")
            continue
        wanted = offered if ALL in precisions else list(dict.fromkeys(precisions))
        for precision in wanted:
            if every and precision not in offered:
                console.stderr().print(f"[dim]{name} has no {precision}: left out[/dim]")
                continue
            export_options(
                chosen, precision, input=arguments["input"], argmax=arguments["argmax"], converter=converter
            )
            request = {"target": name, "precision": precision, "converter": converter, **arguments}
            jobs.append(Job(f"{name}-{precision}", pipeline.export, request))
    if not jobs:
        raise UsageError(
            f"No target has the precision {', '.join(precisions)}"
            + (f" with the converter {converter}." if converter else "."),
            remedy="Run 'mobilevit-deploy targets' to see what each target offers.",
        )
    return jobs


def _check_use(jobs: list[Job], *, calibration: Path | None, evaluation: Path | None, gate: bool) -> None:
    """Refuse pictures that nothing would look at: whoever names them expects otherwise."""
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.quantize import Precision

    precisions = [Precision(job.arguments["precision"]) for job in jobs]
    asked = ", ".join(dict.fromkeys(map(str, precisions)))
    if calibration is not None and not any(precision.calibrated for precision in precisions):
        raise UsageError(
            f"--calibration is for int8 and palettes, and this exports {asked}.",
            remedy="Add --precision int8.",
        )
    if evaluation is not None and not any(precision.quantised for precision in precisions):
        raise UsageError(
            f"--evaluation is for precisions of 8 bits or fewer, and this exports {asked}.",
            remedy="Measure any file with 'mobilevit-deploy evaluate FILE --pictures DIR'.",
        )
    if evaluation is not None and not gate:
        raise UsageError("--evaluation and --no-gate contradict each other.", remedy="Leave one of them out.")


def _record(job: Job, outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {
        "target": job.arguments["target"],
        "precision": job.arguments["precision"],
        "seconds": {stage: round(seconds, 2) for stage, seconds in outcome.stages.items()},
    }
    if outcome.error:
        return {**record, "error": outcome.error.as_dict()}
    exported = outcome.result
    return {**record, "path": str(exported.path), "manifest": exported.manifest.model_dump(mode="json")}


def _print_table(outcomes: dict[str, Outcome]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("target", no_wrap=True)
    table.add_column("parity")
    for heading in ("max error", "SQNR", "agreement", "size", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for key, outcome in outcomes.items():
        seconds = f"{sum(outcome.stages.values()):.1f}"
        if outcome.error:
            table.add_row(key, "[bold red]error[/bold red]", "", "", "", "", seconds)
            continue
        manifest, parity = outcome.result.manifest, outcome.result.manifest.parity
        worst = parity.outputs[0] if parity.outputs else None
        table.add_row(
            key,
            f"[{console.VERDICT_STYLE[parity.verdict]}]{parity.verdict}[/]",
            *console.parity_figures(worst),
            console.megabytes(manifest.bytes),
            seconds,
        )
    console.stdout().print(table)
    for key, outcome in outcomes.items():
        _print_file(key, outcome)
    made = [outcome.result.manifest.model for outcome in outcomes.values() if outcome.result]
    for note in made[0].notes if made else ():
        console.stderr().print(f"[dim]Checkpoint:[/dim] {escape(note)}")
    console.stdout().print(
        "[dim]max error: of the reference's spread, on the worst input; SQNR: on the worst picture, black, "
        "white and noise apart; agreement: of the best class, over all inputs or, in segmentation, their "
        "pixels[/dim]"
    )


def _print_file(key: str, outcome: Outcome) -> None:
    from rich.markup import escape

    if outcome.error:
        console.show_error(outcome.error, about=key)
        return
    manifest = outcome.result.manifest
    engine = escape(manifest.parity.engine)
    console.stdout().print(f"{escape(str(outcome.result.path))}  [dim]run by {engine}[/dim]")
    if manifest.accuracy is not None:
        console.stdout().print(f"  {console.accuracy_figures(manifest.accuracy)}")
    if manifest.quantization and manifest.quantization.float_modules:
        kept = ", ".join(manifest.quantization.float_modules)
        console.stdout().print(f"  kept in floating point, so that accuracy holds: {escape(kept)}")
    for reason in manifest.reasons:
        console.stdout().print(f"  [{'yellow' if manifest.passed else 'red'}]{escape(reason)}[/]")


def _leave(outcomes: list[Outcome]) -> None:
    if errors := [outcome.error for outcome in outcomes if outcome.error]:
        common = len(errors) == len(outcomes) and len({error.exit_code for error in errors}) == 1
        raise typer.Exit(errors[0].exit_code if common else EXIT_FAILED)
    if not all(outcome.result.manifest.passed for outcome in outcomes):
        raise typer.Exit(EXIT_NOT_PASSED)
