"""Labels are read from what people have them in, and not at all rather than wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.labels import read_labels

NAMES = ("tench, Tinca tinca", "été", "[odd]")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(NAMES),
        "\ufeff" + "\r\n".join(NAMES) + "\r\n\r\n",  # as Windows' editors save it
        json.dumps(NAMES),
        json.dumps({"2": NAMES[2], "0": NAMES[0], "1": NAMES[1]}),
        json.dumps({"model_type": "mobilevit", "id2label": dict(enumerate(NAMES))}, indent=2),
    ],
    ids=["lines", "Windows", "list", "map", "config.json"],
)
def test_every_form_is_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text(text, encoding="utf-8", newline="")
    assert read_labels(file) == read_labels(str(file), 3) == NAMES


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1)


@given(names=st.lists(words.map(str.strip).filter(bool), min_size=1, max_size=8, unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_written_is_read(names: list[str], tmp_path: Path) -> None:
    for form in (json.dumps(names), json.dumps(dict(enumerate(names)), ensure_ascii=False)):
        (tmp_path / "labels.json").write_text(form, encoding="utf-8")
        assert read_labels(tmp_path / "labels.json", len(names)) == tuple(names)
    if not names[0].startswith(("[", "{", "\ufeff")):
        (tmp_path / "labels.txt").write_text("\n".join(names), encoding="utf-8", newline="")
        assert read_labels(tmp_path / "labels.txt", len(names)) == tuple(names)


@given(content=st.binary(max_size=60) | st.text('[]{}":,0a\n', max_size=20).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_anything_else_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(content)
    refusal: CheckpointError | None = None
    names: tuple[str, ...] = ()
    try:
        names = read_labels(file)
    except CheckpointError as error:
        refusal = error
    if refusal is None:
        assert names
        assert all(names)
        file.write_text(json.dumps(names), encoding="utf-8")
        assert read_labels(file, len(names)) == names
    else:
        assert str(file) in refusal.problem
        assert refusal.remedy


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cat\ndog", "names 2 classes, and the model has 3"),
        (b"cat\n\ndog", "has no name for class 1"),
        (b"", "holds no labels"),
        (b"\n \n", "holds no labels"),
        (b"[]", "holds no labels"),
        (b"caf\xe9\nbar\nzoo", "no text in UTF-8 (byte 3)"),
        (b'["cat", "dog"', "is no JSON"),
        (b'["cat", 3, "dog"]', "holds no list of names"),
        (b'{"cat": 0, "dog": 1, "cow": 2}', "whole numbers for keys"),
        (b'{"0": "cat", "2": "dog", "3": "cow"}', "without a gap"),
        (b"[" * 100_000, "is no JSON"),
        (bytes(17_000_000), "too large for a list of labels"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_labels(file, 3)
    assert told in caught.value.problem


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"labels\.txt' cannot be read: No such file"):
        read_labels(tmp_path / "labels.txt", 3)


def test_two_classes_may_share_a_name(tmp_path: Path) -> None:
    """ImageNet's lists name the bird and the machine "crane"."""
    path = tmp_path / "labels.txt"
    path.write_text("crane\ndog\ncrane\n")
    assert read_labels(path, 3) == ("crane", "dog", "crane")
