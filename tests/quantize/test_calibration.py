"""Calibration pictures reach a graph as an app's pictures do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.errors import ImageError
from mobilevit_deploy.quantize.calibration import MOST, calibration
from mobilevit_deploy.reference import Reference, app_preprocessing
from mobilevit_deploy.target import Input


@pytest.mark.parametrize("kind", list(Input))
def test_bundled_pictures_are_what_the_graph_takes(
    reference: Reference, kind: Input, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobilevit_deploy.quantize.calibration.GENERATED", 4)
    given = reference.input(kind)
    told: list[str] = []
    found = calibration(given, app_preprocessing(reference, given), on_stage=told.append)
    assert len(found.inputs) == 4 + 14
    assert {(each.shape, str(each.dtype)) for each in found.inputs} == {(given.shape, given.dtype)}
    assert len({each.tobytes() for each in found.inputs}) == len(found.inputs)


def test_a_folder_is_read_with_its_subfolders(reference: Reference, tmp_path: Path) -> None:
    given = reference.input(Input.TENSOR)
    for number, name in enumerate(["a.png", "cats/b.jpg", "cats/black/c.webp"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 100), (50 * number, 10, 10)).save(path)
    found = calibration(given, reference.preprocess, tmp_path)
    expected = reference.preprocess.apply(Image.new("RGB", (120, 100), (0, 10, 10)))
    assert len(found.inputs) == 3
    assert found.source == f"3 pictures, {tmp_path}"
    assert np.array_equal(found.inputs[0], expected)


def test_of_many_pictures_some_are_taken_all_over_the_folder(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobilevit_deploy.quantize.calibration.MOST", 5)
    assert MOST > 100
    for number in range(12):
        Image.new("RGB", (100, 100), (number * 20,) * 3).save(tmp_path / f"{number:02}.png")
    found = calibration(reference.input(Input.IMAGE), reference.preprocess.for_picture_input(), tmp_path)
    assert [int(each[0, 0, 0, 0]) // 20 for each in found.inputs] == [0, 3, 6, 9]


def test_a_folder_without_pictures_and_a_broken_one_are_named(reference: Reference, tmp_path: Path) -> None:
    given = reference.input(Input.TENSOR)
    with pytest.raises(ImageError, match="no picture in"):
        calibration(given, reference.preprocess, tmp_path)
    with pytest.raises(ImageError, match="no folder"):
        calibration(given, reference.preprocess, tmp_path / "absent")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"broken\.png"):
        calibration(given, reference.preprocess, tmp_path)
