"""Writing results so that an interruption, a full disk or a failure leaves nothing half-written.

Everything is made in a hidden staging folder inside the output folder (the same file system, so that a rename
is atomic) and moved into place at the end, the manifest last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mobilevit_deploy.errors import OutputError

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import Manifest

_PREFIX = ".mobilevit-deploy-"

FAILED = "failed"
"""Subfolder of artifacts that failed parity or the accuracy gate, so that none is picked up by mistake."""

_PROBE_BYTES = 8_000_000
"""About the size of an artifact: what does not fit explains why a converter failed."""


def output_folder(path: Path) -> Path:
    """Make ``path`` if need be, and make sure that it can be written before minutes are spent on an export.

    Raises:
        OutputError: it is a file, or cannot be written.
    """
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)
        _probe(path, 1)
    return path


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A scratch folder inside ``folder``, removed on every way out.

    An ``OSError`` in the block becomes an ``OutputError``.
    """
    remove_abandoned(folder)
    with _explained(folder):
        scratch = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=folder))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the staging folders of processes that were killed before they could."""
    for left in folder.glob(f"{_PREFIX}*-*"):
        owner = left.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def publish(staged: Path, manifest: Manifest, output: Path) -> Path:
    """Move a staged artifact into place, replacing an older one, then its manifest; returns its path.

    One that did not pass goes to the subfolder ``failed``, and leaves it when it passes.
    """
    from mobilevit_deploy.artifact import manifest_path

    failed = output / FAILED
    folder = output if manifest.passed else failed
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / staged.name
    note = manifest_path(staged)
    note.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    # The old manifest goes first: whatever happens next, no manifest describes the wrong file.
    manifest_path(final).unlink(missing_ok=True)
    if final.is_dir():
        final.rename(staged.with_name("replaced"))  # a folder cannot be replaced in one step
    staged.replace(final)
    note.replace(manifest_path(final))
    if manifest.passed:
        _remove(manifest_path(failed / staged.name))
        _remove(failed / staged.name)
    return final


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def visible(root: Path, pattern: str) -> list[Path]:
    """The files in ``root`` and its subfolders that match; exports in the making lie in hidden folders."""
    return sorted(
        path
        for path in root.rglob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none; see ``write_bytes``."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none.

    Raises:
        OutputError: it cannot be written.
    """
    folder = output_folder(path.parent)
    with staging(folder) as stage:
        draft = stage / path.name
        draft.write_bytes(content)
        draft.replace(path)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(folder, error) from error
    except Exception as error:
        # Native writers report a full disk in words of their own; whether it is one, only trying tells.
        try:
            _probe(folder, _PROBE_BYTES)
        except OSError as cause:
            raise _unwritable(folder, cause) from error
        raise


def _probe(folder: Path, count: int) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(count))


def _unwritable(folder: Path, error: OSError) -> OutputError:
    free = ""
    with suppress(OSError):
        free = f" {shutil.disk_usage(folder).free / 1e6:.0f} MB are free there."
    return OutputError(
        f"Cannot write to {folder}: {error.strerror or error}.",
        remedy=f"Nothing was left half-written.{free} Free some, or choose another folder with --output.",
    )
