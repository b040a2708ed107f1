"""coremltools, imported without what it does not need, and without what it prints."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

from mobilevit_deploy.errors import TargetError

# coremltools imports these if they are installed, to convert models of theirs. That takes 3 s of processor
# time where ExecuTorch's libraries are installed too, and none of them is used here.
_UNUSED = ("executorch", "sklearn", "tensorflow", "torchao", "transformers", "xgboost")


def load_coremltools() -> Any:
    """The module ``coremltools``.

    Raises:
        TargetError: it is installed and cannot be imported.
    """
    with quiet(), _hidden(*_UNUSED):
        try:
            import coremltools
        except ImportError as error:
            raise TargetError(
                f"coremltools cannot be imported: {error}.",
                remedy="pip install --force-reinstall coremltools",
            ) from error
    return coremltools


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, log lines and warnings of the converter off the terminal; errors are raised."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def unvalidated() -> Iterator[None]:
    """Keep coremltools from checking the whole program after each of its 110 passes: half of their time.

    The parity check reads the saved program back and runs every operation of it.
    """
    from coremltools.converters.mil.mil import Program

    validate = Program.validate
    Program.validate = lambda *_, **__: None
    try:
        yield
    finally:
        Program.validate = validate


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Make ``import name`` fail as if it were not installed."""
    imported = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None is how Python blocks an import
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(imported)
