"""``export``, run as users run it, with a quick target; the contract covers the built-in converters."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from safetensors.torch import save_file

from conftest import executable
from fakes.published import timm_classifier
from mobilevit_deploy.artifact import open_artifact
from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.pipeline import check
from mobilevit_deploy.reference import load_model
from mobilevit_deploy.target import get_target, target_names

Cli = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--target", "toy", "--image-size", "64")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A private copy of the bundled checkpoint, to be damaged."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in demo_checkpoint().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_json_says_what_was_made_and_that_it_is_equal(cli: Cli, tmp_path: Path) -> None:
    done = cli("export", *QUICK, "--output", "out", "--json")
    assert done.returncode == 0, done.stderr
    (made,) = json.loads(done.stdout)["exports"]
    assert made["manifest"]["parity"]["verdict"] == "pass"
    assert {"load", "convert", "parity", "write"} <= set(made["seconds"])
    assert left_in(tmp_path / "out") == [
        "mobilevit-xxs-shapes-64-fp32.pt2",
        "mobilevit-xxs-shapes-64-fp32.pt2.json",
    ]
    assert "bundled demo model" in done.stderr
    assert "apple/mobilevit-xx-small" in done.stderr


def test_every_target_follows_the_channel_order_that_its_user_declares(cli: Cli, tmp_path: Path) -> None:
    """timm's files are taken as RGB; the one that says BGR gets it, in every file and manifest."""
    file = tmp_path / "flowers.safetensors"
    save_file(timm_classifier("xxs", labels=3).state_dict(), file)
    declared = load_model(file).resized((64, 64))
    assert declared.preprocess.channel_order == "RGB"
    done = cli(
        "export", "--model", file, "--channel-order", "bgr", "--image-size", "64", "--json", timeout=540
    )
    assert done.returncode == 0, done.stderr
    exports = json.loads(done.stdout)["exports"]
    assert {made["manifest"]["target"] for made in exports} == set(target_names())
    for made in exports:
        artifact, manifest = open_artifact(tmp_path / made["path"])
        assert manifest.parity.passed
        assert manifest.model.preprocessing.channel_order == "BGR"
        assert manifest.preprocessing.channel_order == "RGB"  # an app gives the picture, and cannot err
        # Not vacuous: to the order that the format declares, every file's channels are swapped.
        assert check(artifact, get_target(manifest.target), declared).verdict == "fail"


def test_unknown_target_among_good_ones_stops_before_any_work(cli: Cli, tmp_path: Path) -> None:
    done = cli("export", *QUICK, "--target", "absent", "--output", "out")
    assert done.returncode == 2
    assert "no target 'absent'" in done.stderr
    assert left_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "onyx"], "Did you mean 'onnx'?"),
        (["--target", "onnx", "--precision", "fp23"], "Did you mean 'fp32'?"),
        (["--target", "onnx", "--precision", "palette4"], "no precision 'palette4'"),
        (["--image-size", "12"], "no image size"),
        (["--image-size", "256x"], "no image size"),
    ],
)
def test_wrong_usage_exits_with_2_and_suggests(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("export", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_output_that_cannot_be_written_fails_at_once(cli: Cli) -> None:
    done = cli("export", *QUICK, "--output", "/proc/exports", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["stage"] == "output"
    assert "load" not in done.stderr


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])


def poison(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"][0, 0] = torch.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def disagree(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_sizes": [96, 120, 144]}))


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch executed",)


def booby_trap(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"classifier.weight": Exploit()}))


def forget_preprocessing(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, "model.safetensors"),
        (poison, "classifier.weight"),
        (disagree, "shape"),
        (booby_trap, "pytorch_model.bin"),
        (forget_preprocessing, "preprocessor_config.json"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_bad_checkpoint_is_one_clear_error_and_leaves_nothing(
    cli: Cli, tmp_path: Path, checkpoint: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(checkpoint)
    done = cli("export", *QUICK, "--model", checkpoint, "--output", "out")
    assert done.returncode == 3
    assert said in done.stderr
    assert "Next:" in done.stderr
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path / "out") == []
    assert not (tmp_path / "executed").exists()


def test_model_that_proves_nothing_fails_parity_and_is_set_apart(
    cli: Cli, tmp_path: Path, checkpoint: Path
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(checkpoint / "model.safetensors")
    tensors["classifier.weight"].zero_()
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    done = cli("export", *QUICK, "--model", checkpoint, "--output", "out")
    assert done.returncode == 1
    assert "same for every input" in done.stdout or "no spread" in done.stdout
    assert left_in(tmp_path / "out") == ["failed"]
    assert left_in(tmp_path / "out" / "failed")[0].endswith(".pt2")


def test_full_disk_leaves_the_older_artifact_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    """A file-size limit makes writing fail midway, as a full disk does."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "mobilevit-xxs-shapes-64-fp32.pt2").write_text("older")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    done = cli("export", *QUICK, "--output", "out", preexec_fn=small_files)
    assert done.returncode == 3, done.stderr
    assert "Cannot write to out" in done.stderr
    assert (out / "mobilevit-xxs-shapes-64-fp32.pt2").read_text() == "older"
    assert left_in(out) == ["mobilevit-xxs-shapes-64-fp32.pt2"]


@pytest.mark.parametrize("moment", ["load", "convert", "parity"])
def test_ctrl_c_ends_everything_and_leaves_nothing(tmp_path: Path, moment: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [executable(), "export", *QUICK, "--output", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if moment in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal sends
    said = process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert left_in(tmp_path / "out") == []
    assert left_in(scratch) == []


def test_process_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """As when memory runs out, or a converter deep in native code does not hear SIGTERM."""
    process = subprocess.Popen(
        [executable(), "export", *QUICK, "--output", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "convert" in line:
            break
    assert left_in(tmp_path / "out") != []
    for child in psutil.Process(process.pid).children():
        child.kill()
    said = process.stderr.read()
    assert process.wait(timeout=30) == 3
    assert "died of SIGKILL" in said
    assert left_in(tmp_path / "out") == []


def test_mistake_that_every_target_would_meet_is_said_once(cli: Cli) -> None:
    done = cli("export", *QUICK, "--target", "onnx", "--channel-order", "grb", "--output", "out")
    assert done.returncode == 2
    assert done.stderr.count("no channel order 'grb'") == 1
    assert done.stdout == ""
