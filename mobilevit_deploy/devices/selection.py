"""From what ``--device`` takes to devices that can be measured on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.devices.host import HostRunner
from mobilevit_deploy.devices.runner import DeviceRunner
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.target import suggestion

KINDS = {
    "host": "this machine",
    "adb": "the phone on the cable; adb:SERIAL where there are several",
    "arm64": "ARM64 code under emulation: parity and instructions, no time",
}


def open_devices(names: Sequence[str], tools: Sequence[Path] = ()) -> list[DeviceRunner]:
    """The devices with these names, each once; no name is this machine.

    Args:
        names: what ``--device`` takes.
        tools: vendors' benchmark tools to run on phones, too.

    Raises:
        UsageError: there is no such kind of device.
        DeviceError: it is not there, or cannot be used.
    """
    return [_open(name, tools) for name in dict.fromkeys(names or ["host"])]


def check_name(name: str) -> None:
    """Make sure that there is such a kind of device, whether or not it is there.

    Raises:
        UsageError: there is not.
    """
    kind = name.partition(":")[0]
    if kind != "adb" and name not in KINDS:
        known = ", ".join(f"{kind} ({what})" for kind, what in KINDS.items())
        raise UsageError(f"There is no device '{name}'.", remedy=f"{suggestion(kind, KINDS)}Known: {known}.")


def _open(name: str, tools: Sequence[Path]) -> DeviceRunner:
    check_name(name)
    kind, _, serial = name.partition(":")
    if kind == "adb":
        from mobilevit_deploy.devices.adb.runner import AdbRunner

        return AdbRunner(serial or None, tools=tools)
    if name == "arm64":
        from mobilevit_deploy.devices.arm64.runner import Arm64Runner

        return Arm64Runner()
    return HostRunner()
