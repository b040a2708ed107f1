"""``mobilevit-deploy devices``: where artifacts can be measured, and what state each device is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console, options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mobilevit_deploy.bench.environment import Conditions, Machine
    from mobilevit_deploy.devices.survey import Found

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")


@app.callback()
def devices(context: typer.Context, json: options.Json = False) -> None:
    """List the devices that 'bench' can measure on: this machine, phones over adb, emulated ARM.

    Of a phone: model, system on a chip, Android, ABI and CPU features, cores by cluster, battery,
    temperature. A phone needs nothing installed but **USB debugging**: enable it under Settings, Developer
    options; plug it in; unlock it; accept this computer.

    Examples:

        mobilevit-deploy devices

        mobilevit-deploy devices setup arm64
    """
    if context.invoked_subcommand:
        return
    from mobilevit_deploy.devices.survey import survey

    with console.stderr().status("looking at the devices"):
        found = survey()
    if json:
        console.print_json({"devices": [device.model_dump(mode="json") for device in found]})
        return
    for device in found:
        _print(device)


@app.command()
def setup(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="arm64, the only one that needs it.")],
    json: options.Json = False,
) -> None:
    """Fetch and build what a device needs; nothing is installed in the system.

    **arm64**: QEMU's user mode and the C library from Debian's packages, LiteRT and ONNX Runtime for aarch64
    from PyPI, and the runner, which is compiled here. They go to a cache folder (`MOBILEVIT_DEPLOY_CACHE`).
    A phone uses the same runner; 'bench' makes it when it is first needed.
    """
    from mobilevit_deploy.devices.arm64.setup import setup as fetch
    from mobilevit_deploy.errors import UsageError

    if device != "arm64":
        raise UsageError(
            f"'{device}' needs no setting up.", remedy="Run 'mobilevit-deploy devices setup arm64'."
        )
    out = console.stderr()
    with out.status("starting") as status:
        pieces = fetch(lambda stage: status.update(stage) if out.is_terminal else out.print(stage))
    if json:
        console.print_json(
            {
                "pieces": [
                    {
                        "name": piece.name,
                        "what": piece.what,
                        "folder": str(piece.folder) if piece.folder else None,
                        "bytes": piece.bytes,
                        "missing": piece.missing,
                    }
                    for piece in pieces
                ]
            }
        )
        return
    for piece in pieces:
        size = console.megabytes(piece.bytes) if piece.folder else piece.missing
        console.stdout().print(f"[bold]{piece.name}[/bold]  {size}  {piece.what}")
        if piece.folder:
            console.stdout().print(f"  [dim]{piece.folder}[/dim]")


def _print(device: Found) -> None:
    from rich.markup import escape

    out = console.stdout()
    title = escape(device.machine.name or device.machine.cpu) if device.machine else ""
    out.print(f"[bold]{escape(device.name)}[/bold]  {title}")
    if device.measures:
        out.print(f"  runs       {', '.join(device.runs) or 'nothing'}; tells {', '.join(device.measures)}")
    for name, value in _facts(device):
        out.print(f"  {name:10} {escape(value)}")
    if device.trouble:
        out.print(f"  [yellow]{escape(device.trouble)}[/yellow]")


def _facts(device: Found) -> Iterator[tuple[str, str]]:
    if device.machine:
        yield from _about(device.machine)
    if device.conditions:
        yield from _now(device.conditions)


def _about(machine: Machine) -> Iterator[tuple[str, str]]:
    yield "system", f"{machine.system}, kernel {machine.kernel}, {machine.architecture}"
    if machine.name:
        yield "chip", machine.cpu
    clusters = [
        f"{cluster.kind} {','.join(map(str, cluster.cores))} ({cluster.max_mhz:.0f} MHz)"
        for cluster in machine.clusters
    ]
    yield "cores", "; ".join(clusters) or str(machine.usable_cores)
    if machine.cpu_features:
        yield "features", " ".join(machine.cpu_features)


def _now(state: Conditions) -> Iterator[tuple[str, str]]:
    battery = [
        *([f"{state.battery:.0%}"] if state.battery is not None else []),
        *([f"{state.battery_c:.1f} °C"] if state.battery_c is not None else []),
        *([f"on {state.power}"] if state.power else []),
        *(["saver on"] if state.low_power_mode else []),
    ]
    if battery:
        yield "battery", ", ".join(battery)
    if state.thermal_status is not None:
        yield "thermal", f"status {state.thermal_status} of 6"
    if state.busy is not None:
        yield "busy", f"{state.busy:.0%}"
