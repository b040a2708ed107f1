"""Labelled pictures: the bundled models' own held-out ones, or a folder of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import EvaluationError, UsageError
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    from PIL.Image import Image

    from mobilevit_deploy.reference import Reference

HELD_OUT = 480
"""Generated pictures that an export is judged on: one changed answer is a fifth of a per cent."""

BUNDLED = "held-out generated pictures"
"""What manifests call them."""


@dataclass(frozen=True)
class Labelled:
    """A picture and what it shows: the number of its class, or a mask of class numbers of its own size."""

    picture: Image
    number: int = -1
    mask: Image | None = None


@dataclass(frozen=True)
class LabelledPictures:
    """A set of labelled pictures, each loaded when it is called for; ``source`` says where they come from."""

    source: str
    items: Sequence[Callable[[], Labelled]]


def labelled_pictures(
    reference: Reference, folder: Path | None = None, *, count: int | None = None
) -> LabelledPictures:
    """The pictures to judge an artifact of ``reference`` on.

    Args:
        reference: the model that must know the classes.
        folder: for classification, a subfolder of pictures for each class, named by the class's label or
            number, or, if there is one for every class, in the order of their names, as torchvision's
            ImageFolder has them. For segmentation, ``images`` and ``masks`` with files of the same names; a
            mask is a grey or palette picture of class numbers, 255 counts for none. None: the held-out
            pictures of the bundled models' data set.
        count: how many, spread evenly over the set; None is all of a folder, 480 held-out ones.

    Raises:
        UsageError: there is no folder, and the model is not for the bundled data set.
        EvaluationError: the folder is not laid out as above.
    """
    if folder is None:
        return _held_out(reference, HELD_OUT if count is None else count)
    if not folder.is_dir():
        raise EvaluationError(f"There is no folder {folder}.", remedy="Name a folder of labelled pictures.")
    items = _by_class(reference, folder) if reference.task == Task.CLASSIFICATION else _with_masks(folder)
    if count is not None and count < len(items):
        items = [items[i * len(items) // count] for i in range(count)]
    return LabelledPictures(str(folder), items)


def _held_out(reference: Reference, count: int) -> LabelledPictures:
    from mobilevit_deploy.demo.evaluate import MASK_LABELS
    from mobilevit_deploy.demo.shapes import CLASSES

    if reference.labels not in (tuple(CLASSES), tuple(MASK_LABELS)):
        raise UsageError(
            f"There are no bundled pictures of the {len(reference.labels)} classes of {reference.name}.",
            remedy="Name a folder of labelled pictures, a subfolder for each class: --evaluation DIR. Or, to "
            "export without knowing what is lost: --no-gate.",
        )
    items = [partial(_generated, number) for number in range(count)]
    return LabelledPictures(BUNDLED, items)


def _generated(number: int) -> Labelled:
    from PIL import Image

    from mobilevit_deploy.demo.shapes import generate

    sample = generate(number, split="heldout")
    return Labelled(Image.fromarray(sample.image), sample.label, Image.fromarray(sample.mask))


def _by_class(reference: Reference, folder: Path) -> list[Callable[[], Labelled]]:
    from mobilevit_deploy.image.loading import picture_files

    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    numbers = _class_numbers(folders, reference.labels)
    return [partial(_pictured, path, numbers[each]) for each in folders for path in picture_files(each)]


def _pictured(path: Path, number: int) -> Labelled:
    from mobilevit_deploy.image import load_image

    return Labelled(load_image(path), number)


def _class_numbers(folders: Sequence[Path], labels: Sequence[str]) -> Mapping[Path, int]:
    known = {_plain(name): number for name, number in _names(labels).items()}
    numbers = {folder: known[_plain(folder.name)] for folder in folders if _plain(folder.name) in known}
    if folders and len(numbers) == len(folders):
        return numbers
    if not numbers and len(folders) == len(labels):
        return {folder: number for number, folder in enumerate(folders)}
    strange = [folder.name for folder in folders if folder not in numbers]
    raise EvaluationError(
        f"'{strange[0]}' is no class of the model ({', '.join(labels[:3])}, ...)."
        if strange
        else "The folder has no subfolders of pictures.",
        remedy="Give each class a subfolder, named by its label or its number from 0, or give all "
        f"{len(labels)} classes one, in the order of their names.",
    )


def _names(labels: Sequence[str]) -> dict[str, int]:
    """What may stand for a class: its number, its label, and, of several comma-separated ones, each.

    A name that two classes share stands for neither: ImageNet has two cranes.
    """
    names: dict[str, set[int]] = {}
    for number, label in enumerate(labels):
        for name in {label, *label.split(", ")}:
            names.setdefault(name, set()).add(number)
    unique = {name: numbers.pop() for name, numbers in names.items() if len(numbers) == 1}
    return {**unique, **{str(number): number for number in range(len(labels))}}


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").strip()


def _with_masks(folder: Path) -> list[Callable[[], Labelled]]:
    from mobilevit_deploy.image.loading import picture_files

    masks = {path.stem: path for path in picture_files(folder / "masks")}
    pictures = picture_files(folder / "images")
    lonely = [path.name for path in pictures if path.stem not in masks]
    if lonely:
        raise EvaluationError(
            f"{folder / 'images' / lonely[0]} has no mask.",
            remedy=f"Put a picture of class numbers with the same name into {folder / 'masks'}.",
        )
    return [partial(_masked, path, masks[path.stem]) for path in pictures]


def _masked(path: Path, mask: Path) -> Labelled:
    from mobilevit_deploy.image import load_image
    from mobilevit_deploy.image.loading import opened

    picture = load_image(path)
    with opened(mask) as numbers:
        if numbers.mode not in ("L", "P") or numbers.size != picture.size:
            raise EvaluationError(
                f"{mask} is no mask of {path.name}: it is {numbers.mode}, {numbers.width}x{numbers.height}, "
                f"and the picture {picture.width}x{picture.height}.",
                remedy="A mask has 8-bit class numbers, as a grey or palette picture of the picture's size.",
            )
        return Labelled(picture, mask=numbers.copy())
