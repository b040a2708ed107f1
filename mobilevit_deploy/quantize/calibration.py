"""Pictures on which the ranges of activations are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.progress import OnStage, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from mobilevit_deploy.artifact import TensorSpec
    from mobilevit_deploy.image import PreprocessSpec

GENERATED = 128
"""Generated pictures, the first of the training split: held-out ones judge the outcome."""

MOST = 256
"""Pictures taken of a folder, spread evenly over it: ranges have long settled by then."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a graph is fed to find the ranges of its activations.

    Attributes:
        inputs: each exactly as the graph's input declares.
        source: where they come from, for the manifest.
    """

    inputs: tuple[NDArray[Any], ...]
    source: str


def calibration(
    given: TensorSpec,
    preprocess: PreprocessSpec,
    folder: Path | None = None,
    *,
    on_stage: OnStage = lambda _: None,
) -> Calibration:
    """Prepare pictures for one graph.

    Args:
        given: the graph's input.
        preprocess: from picture to that input.
        folder: of pictures, those in its subfolders too; None takes generated pictures and photographs.
        on_stage: told how far it is.

    Raises:
        ImageError: the folder holds no picture, or one that cannot be read.
    """
    pictures = _bundled() if folder is None else _pictures_in(folder)
    inputs = tuple(preprocess.feed(load(), given) for load in counted(pictures, "calibrate", on_stage))
    return Calibration(inputs, f"{len(inputs)} pictures, {'bundled' if folder is None else folder}")


def _bundled() -> list[Callable[[], Image]]:
    from mobilevit_deploy.demo.photographs import BACKGROUNDS, background_region

    generated = [partial(_generated, number) for number in range(GENERATED)]
    return [*generated, *(partial(background_region, name, "train") for name in BACKGROUNDS)]


def _generated(number: int) -> Image:
    from PIL import Image

    from mobilevit_deploy.demo.shapes import generate

    return Image.fromarray(generate(number, split="train").image)


def _pictures_in(folder: Path) -> list[Callable[[], Image]]:
    from mobilevit_deploy.image import load_image
    from mobilevit_deploy.image.loading import picture_files

    files = picture_files(folder)
    return [partial(load_image, path) for path in files[:: -(-len(files) // MOST)]]
