"""Options that several subcommands take, so that they read and behave alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.errors import UsageError

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="SOURCE",
        help="Checkpoint of Hugging Face, timm or ml-cvnets: a folder, a weights file, or a hub id such as "
        "apple/mobilevit-xx-small. Default: demo, the bundled classifier; demo-segmentation is bundled too.",
    ),
]

ChannelOrder = Annotated[
    str | None,
    typer.Option(
        "--channel-order",
        metavar="rgb|bgr",
        help="What the checkpoint was trained on, where it is wrong about that. Default: what the checkpoint "
        "declares.",
    ),
]

Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Class names: a line each, or JSON. Default: the checkpoint's.",
    ),
]

Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="DIR",
        help="Pictures like those of the app, on which int8 finds its ranges, and palettes what matters; a "
        "hundred are enough, and need no labels. Default: bundled ones.",
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of artifacts and their manifests.")
]

LARGEST_FRACTION = 0.2
"""Numbers without a percent sign mean a fraction below this, and percent from 1 on."""

SMALLEST, LARGEST = 32, 2048
"""Sides in pixels: the network halves its input five times; above 2048 no phone answers in time."""


def image_size(text: str | None) -> tuple[int, int] | None:
    """Parse ``256`` or ``192x256`` (height x width).

    Raises:
        UsageError: it is neither, or out of bounds.
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and SMALLEST <= int(side) <= LARGEST for side in sides):
        raise UsageError(
            f"'{text}' is no image size.",
            remedy="Give a side, such as 256, or HEIGHTxWIDTH, such as 192x256, "
            f"of {SMALLEST} to {LARGEST} pixels.",
        )
    return int(sides[0]), int(sides[-1])


def threshold(text: str | None) -> float | None:
    """Parse how much slower is too slow, ``5%``, ``5`` or ``0.05``, to a fraction.

    Raises:
        UsageError: it is no number, out of bounds, or could be meant either way, such as 0.5.
    """
    if text is None:
        return None
    number = text.strip().removesuffix("%").rstrip()
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    # Nobody allows 20 percent and more as a fraction; who writes 0.5 may well mean half a percent.
    if not text.rstrip().endswith("%") and LARGEST_FRACTION <= value < 1:
        raise UsageError(
            f"'{text}' may mean {value:.0%} or {value}%.", remedy=f"Write '{100 * value:g}%' or '{value:g}%'."
        )
    is_fraction = value < LARGEST_FRACTION and not text.rstrip().endswith("%")
    fraction = value if is_fraction else value / 100
    if not 0 <= fraction <= 1:
        raise UsageError(
            f"'{text}' is no threshold.",
            remedy="Say how much slower an artifact may be: '5%', which is the same as 5 or 0.05.",
        )
    return fraction


def artifacts(paths: list[Path] | None, folder: Path) -> list[Path]:
    """The artifacts named, or else all that have a manifest in ``folder``; a folder named stands for its own.

    Raises:
        UsageError: there are none.
    """
    found = [artifact for path in paths or [folder] for artifact in _expand(path)]
    if not found:
        where = ", ".join(str(path) for path in paths or [folder])
        raise UsageError(
            f"There is no exported artifact in {where}.",
            remedy="Run 'mobilevit-deploy export --target all' first, or name a file.",
        )
    return found


def _expand(path: Path) -> list[Path]:
    # An .mlpackage is a folder as well, with its manifest beside it.
    if not path.is_dir() or path.with_name(path.name + ".json").exists():
        return [path]
    return [note.with_suffix("") for note in sorted(path.glob("*.json")) if note.with_suffix("").exists()]


def share(text: str) -> float | None:
    """Parse ``2%`` or ``0.02``; ``off`` is None.

    Raises:
        UsageError: it is neither, or not between nothing and all.
    """
    if text == "off":
        return None
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise UsageError(f"'{text}' is no share.", remedy="Give one such as 2% or 0.02.")
    return value
