"""How every target runs its converter: quietly, quickly, and with one clear error when it refuses."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mobilevit_deploy.errors import ExportError, first_line


@contextmanager
def conversion(problem: str) -> Iterator[None]:
    """Convert in this block.

    Log lines and warnings of the converter stay off the terminal. Garbage collection pauses: a converter
    makes millions of objects that live until it ends; looking for garbage is 15 % of ExecuTorch's time.

    Args:
        problem: what to say if the converter fails, such as ``litert-torch could not convert the graph``.

    Raises:
        ExportError: whatever the converter raised, in one line: the innermost cause, since converters wrap it
            in pages of advice.
        OSError: as it was raised; the pipeline explains disks.
    """
    with _quiet(), _collection_paused():
        try:
            yield
        except OSError:
            raise
        except Exception as error:  # converters raise whatever their depths raise
            cause = _innermost(error)
            raise ExportError(
                f"{problem}: {type(cause).__name__}: {first_line(cause)}.",
                remedy="Try another image size, or report it with what 'mobilevit-deploy doctor' prints.",
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _collection_paused() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
