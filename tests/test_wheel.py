"""The wheel holds the tree, no more and no less: its package list is written out by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source = tmp_path_factory.mktemp("source") / "tree"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "exports", "__pycache__"),
    )
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_holds_exactly_the_files_of_the_two_trees(wheel: zipfile.ZipFile) -> None:
    in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
    in_tree = {str(path) for path in _files("mobilevit_deploy")}
    in_tree |= {f"mobilevit_deploy/{path}" for path in _files("targets") if path.suffix != ".md"}
    assert in_wheel == in_tree


def test_wheel_carries_the_trained_weights(wheel: zipfile.ZipFile) -> None:
    for name, megabytes in (("mobilevit-xxs-shapes", 2), ("mobilevit-xxs-shapes-segmentation", 4)):
        weights = wheel.getinfo(f"mobilevit_deploy/demo/{name}/model.safetensors")
        assert 0.75 < weights.file_size / 1e6 / megabytes < 1.1


def test_metadata_names_license_and_targets(wheel: zipfile.ZipFile) -> None:
    info = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    entries = wheel.read(info).decode()
    assert all(
        f"mobilevit_deploy.targets.{name}:" in entries for name in ("onnx", "tflite", "coreml", "executorch")
    )
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def _files(folder: str) -> list[Path]:
    return [
        path.relative_to(ROOT)
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
    ]
