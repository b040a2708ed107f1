"""A real adb server for each test process, and phones that are connected to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.adb_daemon import Daemon, Device
from fakes.adb_server import REDIRECTING, attached, private_server, wait_for_state
from mobilevit_deploy.devices.adb import AdbTransport


@dataclass(frozen=True)
class Phone:
    """A connected phone: ``serial`` as adb knows it, and the daemon to make trouble with."""

    serial: str
    daemon: Daemon

    @property
    def device(self) -> Device:
        return self.daemon.device

    def wait(self) -> None:
        """Until adb sees it again."""
        wait_for_state(self.serial, "device")

    def transport(self) -> AdbTransport:
        return AdbTransport(self.serial)


@pytest.fixture(scope="session")
def server_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with private_server(tmp_path_factory.mktemp("adb")) as variables:
        yield variables


@pytest.fixture
def adb_server(server_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the private server for one test; those on a real phone use the user's own."""
    for name in REDIRECTING:
        monkeypatch.delenv(name, raising=False)
    for name, value in server_variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def connect(adb_server: None, tmp_path: Path) -> Iterator[Callable[..., Phone]]:
    """Connect another phone."""
    with ExitStack() as stack:

        def one_more(
            state: str = "device",
            *,
            unauthorised: bool = False,
            emulator: Sequence[str] = (),
            **options: Any,
        ) -> Phone:
            folder = tmp_path / f"phone-{len(list(tmp_path.glob('phone-*')))}"
            daemon = Daemon(Device(folder, emulator=emulator), **options)
            daemon.faults.unauthorised = unauthorised
            return Phone(stack.enter_context(attached(daemon, state)), daemon)

        yield one_more


@pytest.fixture
def phone(connect: Callable[..., Phone]) -> Phone:
    return connect()
