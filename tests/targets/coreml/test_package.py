"""Reading a package from disk: unchanged, completely, and with an error for every kind of damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mobilevit_deploy.targets.coreml.package import read_package

from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.pipeline import Exported

MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")


@pytest.fixture
def package(exported: Callable[..., Exported], tmp_path: Path) -> Path:
    """A whole package, to be damaged."""
    return Path(shutil.copytree(exported("coreml").path, tmp_path / "model.mlpackage"))


def snapshot(package: Path) -> dict[Path, tuple[int, bytes]]:
    files = [file for file in package.rglob("*") if file.is_file()]
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def constants(function: Any) -> dict[str, Any]:
    made = {op.outputs[0].name: op.val.val for op in function.operations if op.op_type == "const"}
    return {name: value for name, value in made.items() if isinstance(value, np.ndarray)}


def test_reading_leaves_every_file_as_it_was(package: Path) -> None:
    before = snapshot(package)
    read_package(package)
    assert snapshot(package) == before


def test_weights_come_from_the_weight_file(package: Path) -> None:
    before = constants(read_package(package).function)
    content = bytearray((package / WEIGHTS).read_bytes())
    middle = len(content) // 8 * 4
    content[middle : middle + 4] = np.float32(123.25).tobytes()
    (package / WEIGHTS).write_bytes(content)
    after = constants(read_package(package).function)
    changed = {name for name, value in before.items() if not np.array_equal(value, after[name])}
    assert len(changed) == 1
    assert 123.25 in after[changed.pop()]


def test_input_and_output_carry_the_names_of_the_contract(package: Path) -> None:
    function = read_package(package).function
    assert list(function.inputs) == ["image"]
    assert [out.name for out in function.outputs] == ["classLabel", "classLabel_probs", "logits"]


def cut(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no such folder": shutil.rmtree,
    "no weights": lambda package: (package / WEIGHTS).unlink(),
    "no weights folder": lambda package: shutil.rmtree((package / WEIGHTS).parent),
    "empty weights": lambda package: cut(package / WEIGHTS, 0),
    "weights cut in the header": lambda package: cut(package / WEIGHTS, 70),
    "weights cut in the middle": lambda package: cut(package / WEIGHTS, 1_000_003),
    "weights cut by five bytes": lambda package: cut(package / WEIGHTS, -5),
    "weights overwritten": lambda package: (package / WEIGHTS).write_bytes(bytes(range(256)) * 8192),
    "no program": lambda package: (package / MODEL).unlink(),
    "empty program": lambda package: cut(package / MODEL, 0),
    "program cut in the middle": lambda package: cut(package / MODEL, 50_000),
    "program overwritten": lambda package: (package / MODEL).write_bytes(b"not a protobuf" * 999),
    "no manifest": lambda package: (package / "Manifest.json").unlink(),
    "manifest is no JSON": lambda package: (package / "Manifest.json").write_text("{"),
    "manifest is another JSON": lambda package: (package / "Manifest.json").write_text("[]"),
    "manifest without the model": lambda package: (package / "Manifest.json").write_text(
        '{"rootModelIdentifier": "1", "itemInfoEntries": {}}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_an_error_that_names_the_package(package: Path, damage: Callable[[Path], object]) -> None:
    damage(package)
    with pytest.raises(SessionError, match=r"model\.mlpackage") as caught:
        read_package(package)
    assert caught.value.remedy == "Export the model again."


def test_manifest_cannot_lead_out_of_the_package(package: Path) -> None:
    shutil.copy(package / MODEL, package.parent / "elsewhere.mlmodel")
    file = package / "Manifest.json"
    manifest = json.loads(file.read_text())
    for item in manifest["itemInfoEntries"].values():
        item["path"] = "../../elsewhere.mlmodel"
    file.write_text(json.dumps(manifest))
    with pytest.raises(SessionError, match="outside the package"):
        read_package(package)


def test_model_of_another_kind_is_named(ct: Any, package: Path) -> None:
    other = ct.proto.Model_pb2.Model(specificationVersion=1)
    other.neuralNetwork.MergeFromString(b"")
    (package / MODEL).write_bytes(other.SerializeToString())
    with pytest.raises(SessionError, match="holds neuralNetwork, not an ML program"):
        read_package(package)
