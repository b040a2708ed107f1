from __future__ import annotations

from importlib import metadata

import pytest

from mobilevit_deploy.target import get_target


def test_usable_with_everything_installed() -> None:
    here = get_target("onnx").availability()
    assert here.usable
    assert here.engine == f"onnxruntime {metadata.version('onnxruntime')}"


def test_missing_library_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr("mobilevit_deploy.targets.onnx.version", version)
    here = get_target("onnx").availability()
    assert not here.usable
    assert here.reason == "not installed: onnxruntime"
    assert here.remedy == "pip install 'mobilevit-deploy[onnx]'"
