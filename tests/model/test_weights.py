"""Weights files in a bad state are refused in words, and never executed."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.weights import read_weights

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
        read_weights(path)
    assert str(path) in caught.value.problem
    return str(caught.value)


def test_both_formats_are_read(file: Path) -> None:
    tensors = read_weights(file).tensors
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_an_older_pickle_is_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_weights(tmp_path / "old.pt").tensors["a"], TENSORS["a"])


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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


@pytest.mark.parametrize(
    ("names", "averaged"),
    [
        (("model_state_dict", "ema_state_dict"), "ema_state_dict"),  # ml-cvnets
        (("state_dict", "state_dict_ema"), "state_dict_ema"),  # timm
        (("model", "model_ema"), "model_ema"),  # torchvision's reference scripts
    ],
)
def test_a_training_checkpoint_gives_its_averaged_weights_unless_told_otherwise(
    names: tuple[str, str], averaged: str, tmp_path: Path
) -> None:
    file = tmp_path / "training_checkpoint_last.pt"
    last = {name: tensor + 1 for name, tensor in TENSORS.items()}
    torch.save({names[0]: last, names[1]: TENSORS, **training_state()}, file)
    for ema, expected in ((None, TENSORS), (True, TENSORS), (False, last)):
        stored = read_weights(file, ema=ema)
        assert all(torch.equal(stored.tensors[name], expected[name]) for name in expected), ema
        assert stored.averaged is (ema is not False)
    assert read_weights(file).entry == averaged


def test_without_averaged_weights_those_of_the_last_step_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": TENSORS, **training_state()}, file)
    stored = read_weights(file)
    assert stored.tensors.keys() == TENSORS.keys()
    assert not stored.averaged
    with pytest.raises(CheckpointError, match="averaged"):
        read_weights(file, ema=True)


def test_averaged_weights_cannot_be_asked_of_a_plain_state_dict(file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no averaged \(EMA\) weights"):
        read_weights(file, ema=True)


def training_state() -> dict[str, Any]:
    """What training scripts keep beside the weights; timm its options, ml-cvnets its best score."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "optim_state_dict": optimizer.state_dict(),
        "best_metric": np.float64(0.7),
        "metric": np.float32(0.7),
        "args": argparse.Namespace(model="mobilevit_xxs", lr=1e-3),
    }


@given(
    prefixes=st.lists(st.sampled_from(["module.", "_orig_mod.", "model.", "timm_model."]), max_size=3),
    averaged=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_wrappers_put_before_every_name_is_taken_off(
    prefixes: list[str], averaged: bool, tmp_path: Path
) -> None:
    wrapped = {"".join(prefixes) + name: tensor for name, tensor in TENSORS.items()}
    torch.save({**wrapped, **({"n_averaged": torch.tensor(9)} if averaged else {})}, tmp_path / "wrapped.pt")
    assert read_weights(tmp_path / "wrapped.pt").tensors.keys() == TENSORS.keys()


def test_what_only_some_names_begin_with_is_part_of_them(tmp_path: Path) -> None:
    torch.save({"module.a": TENSORS["a"], "b": TENSORS["b"]}, tmp_path / "mixed.pt")
    assert read_weights(tmp_path / "mixed.pt").tensors.keys() == {"module.a", "b"}


def test_what_holds_no_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "best_metric": 0.7}, tmp_path / "state.pt")
    assert "epoch, best_metric are no tensors" in refused(tmp_path / "state.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    assert "holds a list, no state dict" in refused(tmp_path / "list.pt")
    torch.save({}, tmp_path / "empty.pt")
    assert "holds no weights" in refused(tmp_path / "empty.pt")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    assert "is no weights file" in refused(tmp_path / "cat.png")
