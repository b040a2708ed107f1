"""``mobilevit-deploy doctor``: versions, what is missing, the command that mends it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from mobilevit_deploy.cli import EXIT_NOT_PASSED, console, options


def doctor(json: options.Json = False) -> None:
    """Check this installation; the exit code is 1 if a target cannot be used."""
    findings = _findings()
    if json:
        console.print_json(findings)
    else:
        _print(findings)
    if not all(target["usable"] for target in findings["targets"].values()):
        raise typer.Exit(EXIT_NOT_PASSED)


def _findings() -> dict[str, Any]:
    from mobilevit_deploy.target import survey

    targets = {
        name: {
            **asdict(here),
            "libraries": {library: _version(library) for library in (target.libraries if target else ())},
        }
        for name, (target, here) in survey().items()
    }
    return {
        "mobilevit-deploy": _version("mobilevit-deploy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "torch": _version("torch"),
        "targets": targets,
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _print(findings: dict[str, Any]) -> None:
    from rich.markup import escape

    out = console.stdout()
    for name in ("mobilevit-deploy", "python", "platform", "cores", "torch"):
        out.print(f"{name:18}{escape(str(findings[name]))}")
    for name, target in findings["targets"].items():
        libraries = ", ".join(
            f"{library} {found or 'missing'}" for library, found in target["libraries"].items()
        )
        mark = "[green]ok[/green]     " if target["usable"] else "[bold red]missing[/bold red]"
        out.print(f"{name:18}{mark} {escape(libraries)}")
        if not target["usable"]:
            out.print(f"{'':18}{escape(target['reason'])}. [bold]Next:[/bold] {escape(target['remedy'])}")
