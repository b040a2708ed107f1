"""Weights files in a bad state are refused in words, and never executed."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.weights import read_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


@pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A good file of each format."""
    path: Path = tmp_path / request.param
    if path.suffix == ".bin":
        torch.save(OrderedDict(TENSORS), path)
    else:
        save_file(TENSORS, path)
    return path


class RunsACommand:
    """What a malicious checkpoint does: unpickling it calls a function of the attacker's choice."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    assert str(path) in caught.value.problem
    return str(caught.value)


def test_both_formats_are_read(file: Path) -> None:
    tensors = read_tensors(file)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_an_older_pickle_is_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "old.pt")["a"], TENSORS["a"])


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
def test_a_truncated_file_says_so(file: Path, kept: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    assert "is truncated or corrupt" in refused(file)


def test_an_empty_file_says_so(file: Path) -> None:
    file.write_bytes(b"")
    assert "is empty" in refused(file)


def test_a_git_lfs_pointer_says_so(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4cac\nsize 5600000\n")
    assert "git lfs pull" in refused(file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(garbage=st.binary(min_size=1, max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_refused(file: Path, garbage: bytes) -> None:
    file.write_bytes(garbage)
    refused(file)


def test_a_pickle_that_runs_code_is_refused_without_running_it(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    torch.save({"a": RunsACommand(marker)}, tmp_path / "zipped.bin")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"a": RunsACommand(marker)}, protocol=2))
    message = refused(tmp_path / "zipped.bin")
    assert "would run code" in message
    assert "system" in message
    refused(tmp_path / "plain.bin")
    assert not marker.exists()


def test_a_training_state_is_not_mistaken_for_weights(tmp_path: Path) -> None:
    torch.save({"model": TENSORS, "epoch": 3}, tmp_path / "state.pt")
    assert "model, epoch are no tensors" in refused(tmp_path / "state.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    assert "holds a list, no state dict" in refused(tmp_path / "list.pt")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    assert "is no weights file" in refused(tmp_path / "cat.png")
