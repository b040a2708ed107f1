"""The registry of targets."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from mobilevit_deploy import target
from mobilevit_deploy.errors import TargetError, UsageError
from mobilevit_deploy.target import ENTRY_POINT_GROUP, get_target


def register(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in points]
    monkeypatch.setattr(target, "entry_points", lambda **_: found)


def test_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="no target 'tflight'") as caught:
        get_target("tflight")
    assert "Did you mean 'tflite'?" in caught.value.remedy


def test_unknown_target_far_from_all_lists_them() -> None:
    with pytest.raises(UsageError) as caught:
        get_target("qqq")
    assert "Did you mean" not in caught.value.remedy
    assert "coreml" in caught.value.remedy


def test_two_distributions_with_one_name_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, ("onnx", "first:Target"), ("onnx", "second:Target"))
    with pytest.raises(TargetError, match=r"first:Target.*second:Target"):
        get_target("onnx")


def test_one_distribution_listed_twice_is_one_target(monkeypatch: pytest.MonkeyPatch) -> None:
    value = "mobilevit_deploy.targets.onnx:OnnxTarget"
    register(monkeypatch, ("onnx", value), ("onnx", value))
    assert get_target("onnx").name == "onnx"


def test_target_whose_code_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, ("ghost", "no_such_module:Target"))
    with pytest.raises(TargetError, match="no_such_module"):
        get_target("ghost")
