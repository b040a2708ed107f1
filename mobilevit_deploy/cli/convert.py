"""``mobilevit-deploy convert``: any checkpoint to a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobilevit_deploy.cli import console, options

if TYPE_CHECKING:
    from mobilevit_deploy.image import MobileViTImageProcessor
    from mobilevit_deploy.model.checkpoint import Checkpoint

DTYPES = ("float32", "float16")

_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Checkpoint of Hugging Face, timm or ml-cvnets: a folder, a weights file, or a hub id such "
            "as timm/mobilevit_xxs.cvnets_in1k.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    channel_order: options.ChannelOrder = None,
    labels: options.Labels = None,
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", metavar="|".join(DTYPES), help="To store the weights in; float16 halves the file."
        ),
    ] = "float32",
    ema: Annotated[
        bool | None,
        typer.Option(
            "--ema/--no-ema",
            show_default=False,
            help="Of a training checkpoint: the averaged weights, or those of the last step. Default: the "
            "averaged ones where there are any.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that is in the folder.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Turn any checkpoint into a Hugging Face folder, which transformers loads too.

    Says what it recognised, and what it had to take as published because the file does not tell. What is
    wrong about that can be corrected in the folder's config.json and preprocessor_config.json.

    Examples:

        mobilevit-deploy convert mobilevit_xxs.pth --output my-model --labels classes.txt

        mobilevit-deploy convert training_checkpoint_last.pt --output my-model --channel-order rgb
    """
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.model.checkpoint import open_checkpoint

    if dtype not in DTYPES:
        raise UsageError(f"There is no dtype '{dtype}'.", remedy=f"Give {' or '.join(DTYPES)}.")
    _check_free(output, overwrite)
    checkpoint = open_checkpoint(source, channel_order=channel_order, labels=labels, ema=ema)

    import torch

    checkpoint.save(output, dtype=getattr(torch, dtype))
    document = _document(source, checkpoint, output, dtype)
    if json:
        console.print_json(document)
    else:
        _print(document)


def _check_free(output: Path, overwrite: bool) -> None:
    from mobilevit_deploy.errors import OutputError

    there = [name for name in _FILES if (output / name).exists()]
    if there and not overwrite:
        raise OutputError(
            f"'{output}' holds a checkpoint already ({', '.join(there)}).",
            remedy="Choose another folder with --output, or replace it with --overwrite.",
        )


def _document(source: str, checkpoint: Checkpoint, output: Path, dtype: str) -> dict[str, Any]:
    config, processor = checkpoint.config, checkpoint.require_preprocessing()
    return {
        "source": source,
        "format": str(checkpoint.format),
        "task": str(checkpoint.task),
        "size": config.size or "custom",
        "labels": list(config.id2label.values()),
        "channel_order": "BGR" if processor.do_flip_channel_order else "RGB",
        "preprocessing": _preparation(processor),
        "notes": list(checkpoint.notes),
        "output": str(output),
        "dtype": dtype,
        "bytes": {name: (output / name).stat().st_size for name in _FILES},
    }


def _preparation(processor: MobileViTImageProcessor) -> dict[str, Any]:
    from mobilevit_deploy.image import PreprocessSpec

    return PreprocessSpec.from_processor(processor).model_dump(mode="json")


def _print(document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    labels = document["labels"]
    weights = console.megabytes(document["bytes"]["model.safetensors"])
    for name, text in {
        "recognised": f"{document['format']}, MobileViT {document['size'].upper()}, {document['task']}",
        "classes": f"{len(labels)}: {', '.join(labels[:3])}{', ...' if len(labels) > 3 else ''}",
        "channels": f"{document['channel_order']}, as the weights expect them",
        "written": f"{document['output']} ({weights}, {document['dtype']})",
    }.items():
        table.add_row(name, escape(text))
    for note in document["notes"]:
        table.add_row("note", escape(note))
    console.stdout().print(table)
    console.stdout().print(
        f"Next: mobilevit-deploy export --model {escape(document['output'])} --target tflite"
    )
