"""Measurements on disk survive whatever interrupts them."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from fakes.timed_artifacts import measurement
from mobilevit_deploy.bench.records import Recorder, collect_measurements, read_measurements
from mobilevit_deploy.errors import ArtifactError, OutputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "bench.jsonl"


def record(path: Path, *numbers: int) -> None:
    recorder = Recorder(path)
    for number in numbers:
        recorder.append(measurement(round=number))


def rounds(path: Path) -> list[int]:
    return [each.round for each in read_measurements(path)]


def test_what_is_written_is_read_back_whole(path: Path) -> None:
    record(path, 1, 2)
    assert read_measurements(path) == [measurement(round=1), measurement(round=2)]


def test_each_line_is_json_of_its_own_with_format_and_version(path: Path) -> None:
    record(path, 1, 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["format"] for line in lines] == ["mobilevit-deploy/measurement"] * 2
    assert [line["schema_version"] for line in lines] == [2, 2]
    assert lines[0]["outcome"]["samples_ms"]


def test_a_second_benchmark_adds_to_the_first(path: Path) -> None:
    record(path, 1)
    record(path, 2)
    assert rounds(path) == [1, 2]


def test_a_line_that_was_cut_short_anywhere_costs_that_line_alone(path: Path) -> None:
    record(path, 1, 2)
    whole = path.read_bytes()
    for kept in range(whole.index(b"\n") + 1, len(whole), 29):
        path.write_bytes(whole[:kept])
        assert rounds(path) == [1]


def test_the_next_benchmark_writes_over_a_line_that_was_cut_short(path: Path) -> None:
    record(path, 1, 2)
    path.write_bytes(path.read_bytes()[:-40])
    record(path, 3)
    assert rounds(path) == [1, 3]


@pytest.mark.parametrize("content", ["notes", "notes\n", '{"format": "other"}\n', "{}\n", "\x00\x01\n"])
def test_somebody_elses_file_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"notes\.txt holds something else than measurements in line 1"):
        Recorder(path)
    assert path.read_text() == content


def test_a_newer_schema_says_which_and_what_to_do(path: Path) -> None:
    record(path, 1)
    path.write_text(path.read_text().replace('"schema_version":2', '"schema_version":7'))
    with pytest.raises(ArtifactError, match="schema version 7 in line 1") as refusal:
        read_measurements(path)
    assert "Upgrade" in refusal.value.remedy


@pytest.mark.parametrize("damage", ['"round":"one"', '"round":}{'])
def test_a_damaged_line_is_named(path: Path, damage: str) -> None:
    record(path, 1, 2)
    path.write_text(path.read_text().replace('"round":2', damage))
    with pytest.raises(ArtifactError, match="damaged in line 2"):
        read_measurements(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.jsonl cannot be read"):
        read_measurements(tmp_path / "none.jsonl")


def test_a_folder_in_the_way_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        Recorder(tmp_path)


def test_a_full_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        recorder.append(measurement())


def test_a_folder_stands_for_the_measurements_in_it(tmp_path: Path) -> None:
    record(tmp_path / "a.jsonl", 1, 2)
    record(tmp_path / "deeper" / "b.jsonl", 3)
    record(tmp_path / ".in-the-making" / "c.jsonl", 4)
    (tmp_path / "rows.jsonl").write_text('{"other": "rows"}\n')
    assert [each.round for each in collect_measurements(tmp_path)] == [1, 2, 3]
    assert collect_measurements(tmp_path / "a.jsonl") == read_measurements(tmp_path / "a.jsonl")


def test_no_measurements_are_an_error_that_says_how_to_make_some(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    for path in (tmp_path, tmp_path / "empty.jsonl"):
        with pytest.raises(ArtifactError, match="no measurements in") as refusal:
            collect_measurements(path)
        assert "bench" in refusal.value.remedy
