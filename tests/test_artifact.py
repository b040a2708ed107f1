"""Manifests: what is written is what is read, and what is wrong is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilevit_deploy.artifact import (
    SCHEMA_VERSION,
    Manifest,
    ModelCard,
    TensorSpec,
    compressed_size,
    digest,
    manifest_path,
    open_artifact,
    read_manifest,
    size,
    to_layout,
)
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.parity.tolerance import FP32
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.task import Task


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    tensor = TensorSpec(name="x", shape=(1, 3, 8, 8), dtype="float32", layout="NCHW")
    preprocessing = PreprocessSpec(
        resize_shortest_edge=9, resample="bilinear", crop=(8, 8), rescale_factor=1 / 255, channel_order="BGR"
    )
    manifest = Manifest(
        file=path.name,
        sha256=digest(path),
        bytes=size(path),
        target="onnx",
        converter="torch.onnx",
        task=Task.CLASSIFICATION,
        precision=Precision.FP32,
        inputs=(tensor,),
        outputs=(tensor,),
        preprocessing=preprocessing,
        labels=("cat", "dög"),
        model=ModelCard(
            name="m",
            source="demo",
            weights_sha256="0" * 64,
            config={"num_channels": 3},
            preprocessing=preprocessing,
        ),
        rewrites=(),
        libraries={"torch": "2.13.0"},
        parity=ParityResult(verdict="pass", engine="test", tolerance=FP32),
    )
    manifest_path(path).write_text(manifest.model_dump_json(), encoding="utf-8")
    return path


def edit(artifact: Path, **changes: Any) -> None:
    content = json.loads(manifest_path(artifact).read_text(encoding="utf-8"))
    manifest_path(artifact).write_text(json.dumps({**content, **changes}))


def test_what_is_written_is_read(artifact: Path) -> None:
    opened, manifest = open_artifact(artifact)
    assert opened.path == artifact
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.labels == ("cat", "dög")


def test_artifact_changed_after_export(artifact: Path) -> None:
    artifact.write_bytes(b"Weights")
    with pytest.raises(ArtifactError, match="changed after export"):
        open_artifact(artifact)


def test_missing_artifact(artifact: Path) -> None:
    artifact.unlink()
    with pytest.raises(ArtifactError, match="There is no file"):
        open_artifact(artifact)


def test_missing_manifest(artifact: Path) -> None:
    manifest_path(artifact).unlink()
    with pytest.raises(ArtifactError, match="has no manifest"):
        read_manifest(artifact)


def test_manifest_of_a_newer_schema_says_upgrade(artifact: Path) -> None:
    edit(artifact, schema_version=SCHEMA_VERSION + 1, invented_later=True)
    with pytest.raises(ArtifactError, match=f"schema version {SCHEMA_VERSION + 1}") as caught:
        read_manifest(artifact)
    assert "pip install --upgrade mobilevit-deploy" in caught.value.remedy


def test_manifest_of_an_older_schema_says_export_again(artifact: Path) -> None:
    edit(artifact, schema_version=SCHEMA_VERSION - 1)
    with pytest.raises(ArtifactError, match="schema version") as caught:
        read_manifest(artifact)
    assert caught.value.remedy == "Export the model again."


def test_damaged_field_is_named(artifact: Path) -> None:
    edit(artifact, preprocessing={"channel_order": "GRB"})
    with pytest.raises(ArtifactError, match="preprocessing"):
        read_manifest(artifact)


@pytest.mark.parametrize("name", ["other.onnx", "../model.onnx", "/etc/passwd"])
def test_manifest_cannot_point_elsewhere(artifact: Path, name: str) -> None:
    edit(artifact, file=name)
    with pytest.raises(ArtifactError, match="describes"):
        open_artifact(artifact)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_whatever_lies_there_instead_of_a_manifest_is_one_clear_error(artifact: Path, content: bytes) -> None:
    manifest_path(artifact).write_bytes(content)
    with pytest.raises(ArtifactError):
        read_manifest(artifact)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(sorted(set(Manifest.model_fields) - {"format", "schema_version"})),
    value=st.none() | st.integers() | st.floats() | st.lists(st.integers(), max_size=2),
)
def test_whatever_a_field_holds_is_read_or_refused(artifact: Path, field: str, value: object) -> None:
    pristine = manifest_path(artifact).read_text(encoding="utf-8")
    edit(artifact, **{field: value})
    try:
        read_manifest(artifact)
    except ArtifactError as error:
        assert field in str(error) or "describes" in str(error)  # noqa: PT017
    finally:
        manifest_path(artifact).write_text(pristine, encoding="utf-8")


def test_folder_digest_changes_with_names_contents_and_boundaries(tmp_path: Path) -> None:
    contents = [
        {"a": b"12", "b": b"3"},
        {"a": b"1", "b": b"23"},
        {"a": b"12", "c": b"3"},
        {"a": b"12", "b": b"4"},
        {"sub/a": b"12", "b": b"3"},
    ]
    seen = set()
    for i, files in enumerate(contents):
        for name, content in files.items():
            file = tmp_path / str(i) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        seen.add(digest(tmp_path / str(i)))
        assert size(tmp_path / str(i)) == 3
    assert len(seen) == len(contents)


def test_layouts_transpose_by_axis_name() -> None:
    nchw = np.arange(24).reshape(1, 2, 3, 4)
    nhwc = to_layout(nchw, "NCHW", "NHWC")
    assert nhwc.shape == (1, 3, 4, 2)
    assert nhwc[0, 2, 3, 1] == nchw[0, 1, 2, 3]
    assert nhwc.flags.c_contiguous
    np.testing.assert_array_equal(to_layout(nhwc, "NHWC", "NCHW"), nchw)


def test_a_download_carries_each_file_deflated(tmp_path: Path) -> None:
    import zipfile

    package = tmp_path / "a.mlpackage"
    package.mkdir()
    (package / "program").write_bytes(b"conv " * 10_000)
    (package / "weights").write_bytes(bytes(range(256)) * 40)
    with zipfile.ZipFile(tmp_path / "app.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as app:
        for file in package.iterdir():
            app.write(file, file.name)
        packed = sum(entry.compress_size for entry in app.infolist())
    # A zip's entries are raw deflate; zlib's frame around it has six bytes.
    assert compressed_size(package) == packed + 2 * 6
    assert compressed_size(package / "program") < 500
