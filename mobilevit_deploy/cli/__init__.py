"""The command line, one file a subcommand.

Modules here import typer and nothing heavier: ``mobilevit-deploy --help`` answers in under 0.3 s.
"""

from __future__ import annotations

import signal
import sys

EXIT_NOT_PASSED = 1
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry point of ``mobilevit-deploy``: every ``DeployError`` becomes a message and an exit code.

    Exit codes: 0 every verdict is a pass; 1 a verdict is not a pass; 2 wrong usage; 3 bad input or a stage
    that failed; 130 interrupted.
    """
    from mobilevit_deploy.cli.app import app
    from mobilevit_deploy.errors import DeployError

    # SIGTERM unwinds the stack as Ctrl-C does, so that staging folders are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except DeployError as error:
        from mobilevit_deploy.cli.console import print_json, show_error

        if "--json" in sys.argv:
            print_json({"error": error.as_dict()})
        show_error(error)
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == EXIT_INTERRUPTED:
            print("\nInterrupted. Nothing was left half-written.", file=sys.stderr)  # noqa: T201
        raise
