"""Labelled pictures from the folders that people have them in."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.accuracy.pictures import labelled_pictures
from mobilevit_deploy.demo.shapes import CLASSES, generate
from mobilevit_deploy.errors import EvaluationError, ImageError, UsageError
from mobilevit_deploy.reference import Reference


def picture(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (level, level, level)).save(path)


def mask(path: Path, size: tuple[int, int] = (8, 6), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = Image.new(mode, size, 3)
    if mode == "P":
        numbers.putpalette([level for level in range(256) for _ in range(3)])
    numbers.save(path)


def relabelled(reference: Reference, names: dict[int, str]) -> Reference:
    model = copy.deepcopy(reference.model)
    model.config = replace(model.config, id2label=names)
    return replace(reference, model=model)


def numbers(reference: Reference, folder: Path) -> list[int]:
    return [load().number for load in labelled_pictures(reference, folder).items]


def test_bundled_pictures_are_the_held_out_ones(reference: Reference) -> None:
    found = labelled_pictures(reference, count=14)
    samples = [generate(number, split="heldout") for number in range(14)]
    loaded = [load() for load in found.items]
    assert [each.number for each in loaded] == [sample.label for sample in samples]
    assert all(
        np.array_equal(each.picture, sample.image) for each, sample in zip(loaded, samples, strict=True)
    )
    assert len(labelled_pictures(reference).items) == 480


def test_a_subfolder_is_named_by_label_or_number(reference: Reference, tmp_path: Path) -> None:
    picture(tmp_path / CLASSES[5].upper() / "a.png")
    picture(tmp_path / "7" / "b.JPG")
    (tmp_path / "7" / "notes.txt").write_text("no picture")
    assert sorted(numbers(reference, tmp_path)) == [5, 7]


def test_one_of_a_labels_synonyms_will_do_unless_two_classes_share_it(
    reference: Reference, tmp_path: Path
) -> None:
    names = {**reference.model.config.id2label, 0: "tench, Tinca tinca", 1: "crane", 2: "crane"}
    renamed = relabelled(reference, names)
    picture(tmp_path / "tinca_tinca" / "a.png")
    assert numbers(renamed, tmp_path) == [0]
    picture(tmp_path / "crane" / "a.png")
    with pytest.raises(EvaluationError, match="'crane' is no class"):
        labelled_pictures(renamed, tmp_path)


def test_a_subfolder_for_every_class_counts_in_order_of_names_as_in_image_folder(
    reference: Reference, tmp_path: Path
) -> None:
    for number in range(len(CLASSES)):
        picture(tmp_path / f"n{number:08}" / "a.png")
    assert numbers(reference, tmp_path) == list(range(len(CLASSES)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_are_spread_over_the_classes(reference: Reference, tmp_path: Path, count: int) -> None:
    for number in range(5):
        for each in range(3):
            picture(tmp_path / str(number) / f"{each}.png")
    found = [load().number for load in labelled_pictures(reference, tmp_path, count=count).items]
    assert len(found) == len(set(found)) == count


@pytest.mark.parametrize("names", [["dragon"], ["0", "dragon"], []])
def test_a_folder_of_other_classes_is_refused_in_words(
    reference: Reference, tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        picture(tmp_path / name / "a.png")
    with pytest.raises(EvaluationError) as caught:
        labelled_pictures(reference, tmp_path)
    assert ("dragon" in caught.value.problem) == bool(names)
    assert "subfolder" in caught.value.remedy


def test_missing_and_empty_folders_are_named(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no folder"):
        labelled_pictures(reference, tmp_path / "absent")
    (tmp_path / "0").mkdir()
    with pytest.raises(ImageError, match="no picture in"):
        labelled_pictures(reference, tmp_path)


def test_masks_go_with_pictures_of_the_same_name(segmenter: Reference, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", mode="P")
    (load,) = labelled_pictures(segmenter, tmp_path).items
    loaded = load()
    assert loaded.mask is not None
    assert np.array_equal(loaded.mask, np.full((6, 8), 3))


@pytest.mark.parametrize(("size", "mode"), [((7, 6), "L"), ((8, 6), "RGB")])
def test_a_mask_that_is_none_is_refused(
    segmenter: Reference, tmp_path: Path, size: tuple[int, int], mode: str
) -> None:
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "masks" / "a.png", size, mode)
    (load,) = labelled_pictures(segmenter, tmp_path).items
    with pytest.raises(EvaluationError, match="is no mask"):
        load()


def test_a_picture_without_a_mask_is_named(segmenter: Reference, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png")
    mask(tmp_path / "masks" / "a.png")
    with pytest.raises(EvaluationError, match=r"b\.png has no mask"):
        labelled_pictures(segmenter, tmp_path)


def test_a_model_of_ones_own_has_no_bundled_pictures(reference: Reference) -> None:
    with pytest.raises(UsageError, match="no bundled pictures"):
        labelled_pictures(relabelled(reference, {i: f"class {i}" for i in range(12)}))
