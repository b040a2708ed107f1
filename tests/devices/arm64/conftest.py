"""One emulated device a session, with the bundles pushed to it; skipped where its pieces cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mobilevit_deploy.devices.arm64.emulator import Emulator
from mobilevit_deploy.devices.native.bundle import bundle


@pytest.fixture(scope="session")
def emulator(or_skip: Callable) -> Iterator[Emulator]:
    with or_skip(Emulator) as made:
        yield made


@pytest.fixture(scope="session")
def pushed(emulator: Emulator, or_skip: Callable) -> Callable[[str], list[str]]:
    """The beginning of a command of a runtime's runner, which lies on the device."""

    def push(runtime: str) -> list[str]:
        made = or_skip(lambda: bundle(runtime))
        folder = f"{emulator.folder}/{runtime}"
        if not emulator.sizes(folder):
            for name in made.files:
                emulator.push(made.folder / name, f"{folder}/{name}")
        return made.argv(folder)

    return push
