from __future__ import annotations

from importlib import metadata

import pytest

from mobilevit_deploy.target import get_target


def test_usable_with_everything_installed() -> None:
    here = get_target("tflite").availability()
    assert here.usable
    assert here.engine == f"litert {metadata.version('ai-edge-litert')}"


def test_missing_library_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.version

    def version(name: str) -> str:
        if name == "litert-torch":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr("mobilevit_deploy.targets.tflite.version", version)
    here = get_target("tflite").availability()
    assert not here.usable
    assert here.reason == "not installed: litert-torch"
    assert here.remedy == "pip install 'mobilevit-deploy[tflite]'"
