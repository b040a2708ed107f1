"""The cache: folders that are whole or not there; an interrupted download never looks like a finished one.

It lies in ``$MOBILEVIT_DEPLOY_CACHE``, else in ``$XDG_CACHE_HOME/mobilevit-deploy``, else in
``~/.cache/mobilevit-deploy``. Everything in it can be made again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.errors import DeviceError

ENVIRONMENT = "MOBILEVIT_DEPLOY_CACHE"


def root() -> Path:
    """Where the cache lies; it need not exist."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).absolute()
    # An empty or relative XDG path is to be ignored, says the XDG base directory specification.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "mobilevit-deploy"


def entry(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` in the cache; ``make`` fills it if it is not there.

    Two processes may do so at once: each fills a folder of its own, and the first to finish is kept.

    Args:
        name: says all that the content depends on, such as versions and digests.
        make: is given an empty folder. If it raises, nothing remains.

    Raises:
        DeviceError: the cache cannot be written; and what ``make`` raises.
    """
    folder = root() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as making:
            # One below, so that the temporary folder is still there to be removed.
            whole = Path(making) / "entry"
            whole.mkdir()
            make(whole)
            _move(whole, folder)
    except OSError as error:
        raise DeviceError(
            f"The cache {folder.parent} cannot be written: {error.strerror or error}.",
            remedy=f"Make room and see to its permissions, or set {ENVIRONMENT} to another folder.",
        ) from error
    return folder


def _move(whole: Path, folder: Path) -> None:
    try:
        whole.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was faster, and made the same
            raise
