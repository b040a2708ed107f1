"""One emulated device a session, with the bundles pushed to it; skipped where its pieces cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mobilevit_deploy.devices.arm64.emulator import Emulator
from mobilevit_deploy.devices.native.bundle import Bundle, bundle
from mobilevit_deploy.errors import DeviceError

_UNREACHABLE = ("Downloading", "Reading Debian's list", "Debian packages", "The emulated device needs")


def or_skip(make: Callable[[], object]) -> object:
    """What ``make`` makes, unless this machine has no Debian, or reaches neither its mirror nor PyPI."""
    try:
        return make()
    except DeviceError as error:
        if error.problem.startswith(_UNREACHABLE):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    made = or_skip(Emulator)
    assert isinstance(made, Emulator)
    with made:
        yield made


@pytest.fixture(scope="session")
def pushed(emulator: Emulator) -> Callable[[str], list[str]]:
    """The beginning of a command of a runtime's runner, which lies on the device."""

    def push(runtime: str) -> list[str]:
        made = or_skip(lambda: bundle(runtime))
        assert isinstance(made, Bundle)
        folder = f"{emulator.folder}/{runtime}"
        if not emulator.sizes(folder):
            for name in made.files:
                emulator.push(made.folder / name, f"{folder}/{name}")
        return made.argv(folder)

    return push
