"""The command line as a whole: help, start-up, usage errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

COMMANDS = ["export", "verify", "predict", "inspect", "bench", "report", "targets", "doctor"]
Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_help_lists_every_command_and_teaches_exit_codes(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_it(cli: Cli, command: str) -> None:
    done = cli(command, "-h")
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert "Examples" in done.stdout or command in {"targets", "doctor"}


def test_no_arguments_show_the_help(cli: Cli) -> None:
    assert "Usage" in cli().stdout


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("mobilevit-deploy 0.")


def test_help_imports_nothing_heavy() -> None:
    """What keeps start-up under 0.3 s."""
    script = (
        "import sys; from mobilevit_deploy.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'scipy', 'matplotlib', 'PIL', 'huggingface_hub', 'psutil'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_no_torch() -> None:
    script = "import sys, mobilevit_deploy, mobilevit_deploy.model; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_unknown_command_is_wrong_usage(cli: Cli) -> None:
    done = cli("exprot")
    assert done.returncode == 2
    assert "export" in done.stderr
