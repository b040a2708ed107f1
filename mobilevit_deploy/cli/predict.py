"""``mobilevit-deploy predict``: one picture, reference and artifact side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobilevit_deploy.cli import console, options

if TYPE_CHECKING:
    from mobilevit_deploy.prediction import Classification, Prediction, Segmentation


def predict(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture in any common format.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="Compare with this target's artifact; exports it if need be.",
        ),
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option("--artifact", metavar="FILE", help="Compare with this artifact.")
    ] = None,
    model: options.Model = None,
    precision: Annotated[
        str, typer.Option("--precision", "-p", metavar="NAME", help="Of the target's artifact.")
    ] = "fp32",
    channel_order: options.ChannelOrder = None,
    labels: options.Labels = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            "--overlay",
            metavar="FILE",
            help="Segmentation: where to draw the classes over the picture. Default: IMAGE-classes.png, in "
            "this folder.",
        ),
    ] = None,
    output: options.Output = Path("exports"),
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to print.")] = 5,
    json: options.Json = False,
) -> None:
    """Classify or segment a picture with the reference, and with an exported file beside it.

    Examples:

        mobilevit-deploy predict photo.jpg

        mobilevit-deploy predict photo.jpg --target tflite

        mobilevit-deploy predict photo.jpg --model demo-segmentation --overlay overlay.png
    """
    from mobilevit_deploy.output import remove_abandoned
    from mobilevit_deploy.parallel import Job, run_one
    from mobilevit_deploy.prediction import Segmentation
    from mobilevit_deploy.prediction import predict as run

    path = _overlay_path(overlay, image)
    if artifact is not None:
        _refuse_what_an_artifact_has(
            {"--target": target, "--channel-order": channel_order, "--labels": labels}
        )
    if artifact is None or model is not None:
        console.prepare_model(model)
    arguments = {
        "image": image,
        "artifact": artifact,
        "model": model,
        "target": target,
        "precision": precision,
        "channel_order": channel_order,
        "labels": labels,
        "output": output,
    }
    try:
        with console.job_progress(["predict"]) as on_event:
            prediction: Prediction = run_one(Job("predict", run, arguments), on_event=on_event)
    finally:
        remove_abandoned(output)  # it may have been exporting
    if isinstance(prediction, Segmentation):
        _draw(prediction, image, path)
        _show_segmentation(prediction, path, json=json)
    else:
        _refuse_overlay(overlay)
        _show_classification(prediction, top, json=json)


def _overlay_path(overlay: Path | None, image: Path) -> Path:
    from mobilevit_deploy.errors import UsageError

    path = overlay or Path(f"{image.stem}-classes.png")
    if path.suffix.lower() != ".png":
        raise UsageError(f"The overlay is a PNG, and '{path}' is named otherwise.", remedy="Name it .png.")
    if path.resolve() == image.resolve():
        raise UsageError(
            f"The overlay would replace the picture '{image}' itself.", remedy="Choose another name."
        )
    return path


def _refuse_what_an_artifact_has(options: dict[str, object]) -> None:
    from mobilevit_deploy.errors import UsageError

    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be chosen for --artifact, whose manifest says it.",
            remedy="Leave it out, or export the model again with other options.",
        )


def _refuse_overlay(overlay: Path | None) -> None:
    from mobilevit_deploy.errors import UsageError

    if overlay is not None:
        raise UsageError(
            "This is a classifier: its answer covers no region of the picture, which could be drawn over it.",
            remedy="Leave out --overlay, or take a segmentation model: --model demo-segmentation.",
        )


def _show_classification(prediction: Classification, top: int, *, json: bool) -> None:
    ranked = {name: prediction.best(top, of=name) for name in prediction.columns}
    if json:
        console.print_json(
            {
                name: [{"label": label, "probability": probability} for label, probability in best]
                for name, best in ranked.items()
            }
        )
    else:
        _print(ranked, prediction.engine)


def _show_segmentation(prediction: Segmentation, overlay: Path, *, json: bool) -> None:
    found = {name: prediction.shares(of=name) for name in prediction.columns}
    if json:
        document: dict[str, Any] = {
            name: [{"label": label, "share": share} for label, share in shares]
            for name, shares in found.items()
        }
        console.print_json({**document, "agreement": prediction.agreement, "overlay": str(overlay)})
        return
    _print(found, prediction.engine)
    if prediction.agreement is not None:
        console.stdout().print(
            f"Both give {console.share(prediction.agreement)} of the pixels the same class."
        )
    console.stderr().print(f"Wrote {overlay}.")


def _draw(prediction: Segmentation, image: Path, path: Path) -> None:
    """Draw what the artifact found, or else the reference."""
    from io import BytesIO

    from mobilevit_deploy.image import load_image
    from mobilevit_deploy.image.inverse import mask_to_picture
    from mobilevit_deploy.image.overlay import overlay
    from mobilevit_deploy.output import write_bytes

    picture = load_image(image)
    mask = prediction.columns.get("artifact", prediction.columns["reference"])
    whole = mask_to_picture(mask, prediction.preprocess, (picture.height, picture.width))
    drawn = BytesIO()
    overlay(picture, whole, prediction.labels).save(drawn, format="PNG")
    write_bytes(path, drawn.getvalue())


def _print(columns: dict[str, list[tuple[str, float]]], engine: str | None) -> None:
    """One line a rank, one column a model; columns may differ in length."""
    from itertools import zip_longest

    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("reference (PyTorch)", min_width=28)
    if "artifact" in columns:
        table.add_column(engine or "artifact", min_width=28)
    for rank, row in enumerate(zip_longest(*columns.values()), start=1):
        cells = (f"{entry[1]:6.2%}  {escape(entry[0])}" if entry else "" for entry in row)
        table.add_row(str(rank), *cells)
    console.stdout().print(table)
