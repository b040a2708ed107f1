"""Every device that artifacts can be measured on from here, what it is, and what state it is in."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.bench import environment
from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.bench.measurement import Context
from mobilevit_deploy.errors import DeployError


class Found(BaseModel):
    """A device, or what is known of one that cannot be used.

    Attributes:
        name: what ``--device`` takes.
        measures: what can be learned there, such as ``parity, time, memory``.
        runs: targets whose artifacts run there.
        machine: None where it cannot be read.
        conditions: now; None where it cannot be read, or where nothing depends on it.
        trouble: why it cannot be used, and what to do; empty if it can.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    context: Context
    measures: tuple[str, ...]
    runs: tuple[str, ...]
    machine: Machine | None = None
    conditions: Conditions | None = None
    trouble: str = ""


def survey() -> list[Found]:
    """This machine, what adb reaches, and emulated ARM; starts an adb server, fetches nothing."""
    return [_host(), *_phones(), _arm64()]


def _host() -> Found:
    from mobilevit_deploy.target import survey as survey_targets

    return Found(
        name="host",
        context="host",
        measures=("parity", "time", "memory"),
        runs=tuple(name for name, (_, here) in survey_targets().items() if here.usable),
        machine=environment.machine(),
        conditions=environment.conditions(),
    )


def _phones() -> list[Found]:
    from mobilevit_deploy.devices.adb import connected

    try:
        return [_phone(attached.serial) for attached in connected()]
    except DeployError as error:
        return [_unusable("adb", f"{error.problem} {error.remedy}")]


def _phone(serial: str) -> Found:
    from mobilevit_deploy.devices import android
    from mobilevit_deploy.devices.adb import AdbTransport

    try:
        transport = AdbTransport(serial)
        machine = android.machine(transport)
        return Found(
            name=transport.name,
            context="adb-shell",
            measures=("parity", "time", "memory"),
            runs=_with_runner() if machine.is_arm64 else (),
            machine=machine,
            conditions=android.conditions(transport),
        )
    except DeployError as error:
        return _unusable(f"adb:{serial}", f"{error.problem} {error.remedy}")


def _arm64() -> Found:
    from mobilevit_deploy.devices.arm64.setup import status

    pieces = status()
    missing = [piece.name for piece in pieces if piece.folder is None and not piece.missing]
    trouble = next((piece.missing for piece in pieces if piece.missing), "")
    if missing and not trouble:
        trouble = f"Not set up: {', '.join(missing)}. Run 'mobilevit-deploy devices setup arm64'."
    return Found(
        name="arm64",
        context="emulator",
        measures=("parity", "instructions"),
        runs=_with_runner(),
        trouble=trouble,
    )


def _unusable(name: str, trouble: str) -> Found:
    return Found(name=name, context="adb-shell", measures=(), runs=(), trouble=trouble)


def _with_runner() -> tuple[str, ...]:
    from mobilevit_deploy.devices.native.runtimes import RUNTIMES

    return tuple(runtime.target for runtime in RUNTIMES)
