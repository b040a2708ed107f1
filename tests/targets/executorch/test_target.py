from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import pytest

from mobilevit_deploy.target import Availability, get_target

Ask = Callable[..., Availability]


@pytest.fixture
def availability(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What the target says where these versions are installed."""

    def ask(**versions: str) -> Availability:
        monkeypatch.setattr("mobilevit_deploy.targets.executorch.version", versions.__getitem__)
        return get_target("executorch").availability()

    return ask


def test_is_available_here() -> None:
    here = get_target("executorch").availability()
    assert here == Availability(usable=True, engine=f"executorch {version('executorch')} xnnpack")


@pytest.mark.parametrize("torch", ["2.13.0", "2.13.1+cpu"])
def test_is_available_with_the_torch_that_executorch_was_built_against(availability: Ask, torch: str) -> None:
    assert availability(executorch="1.4.1", torch=torch).usable


@pytest.mark.parametrize("torch", ["2.12.1", "2.14.0", "2.1.3"])
def test_another_torch_is_named_with_the_command_that_replaces_it(availability: Ask, torch: str) -> None:
    here = availability(executorch="1.4.1", torch=torch)
    assert not here.usable
    assert here.reason == f"executorch 1.4.1 is built against torch 2.13, and torch is {torch}"
    assert here.remedy == "pip install 'torch~=2.13.0'"


def test_an_executorch_of_unknown_pairing_is_not_tried(availability: Ask) -> None:
    here = availability(executorch="1.5.0", torch="2.14.0")
    assert not here.usable
    assert here.reason == "executorch 1.5.0 is installed, and 1.4 is needed"
    assert here.remedy == "pip install 'mobilevit-deploy[executorch]'"
