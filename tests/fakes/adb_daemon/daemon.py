"""The daemon: listens, and hands services out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

from fakes.adb_daemon import shell, sync
from fakes.adb_daemon.device import Device
from fakes.adb_daemon.faults import Faults
from fakes.adb_daemon.link import Link, Stream

FEATURES = ("shell_v2", "cmd", "stat_v2", "fixed_push_mkdir")
"""Of Android 7 and later, as far as they matter here."""


class Daemon:
    """Serves ``device`` on a port of 127.0.0.1 while it is used as a context manager.

    Args:
        device: the phone.
        model: what ``adb devices -l`` shows.
        features: of the daemon; none for one that is older than Android 7.
    """

    def __init__(
        self, device: Device, *, model: str = "Fake_8", features: tuple[str, ...] = FEATURES
    ) -> None:
        self.device = device
        self.faults = Faults()
        self.commands: list[str] = []
        said = f"device::ro.product.name=fake;ro.product.model={model};ro.product.device=fake;"
        self.banner = (said + (f"features={','.join(features)}" if features else "")).encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[Link] = []

    @property
    def address(self) -> str:
        """For ``adb connect``, and its serial afterwards."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.pull_cable()

    def pull_cable(self) -> None:
        """Cut every connection; an adb server that knows the address soon connects again."""
        for link in self._links:
            link.cut()

    def hang(self) -> None:
        """Cut every connection, and answer no new one: adb shows the device as offline."""
        self.faults.silent = True
        self.pull_cable()

    def service(self, name: str) -> Callable[[Stream], None] | None:
        """What serves a request such as ``shell,v2,raw:ls``; None if nothing does."""
        kind, _, command = name.partition(":")
        if kind == "sync":
            return partial(sync.serve, self.device, self.faults)
        words = kind.split(",")
        if words[0] not in {"shell", "exec"}:
            return None
        self.commands.append(command)
        return partial(shell.run_framed if "v2" in words else shell.run_raw, self.device, command)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, connection)
            self._links.append(link)
            link.start()
