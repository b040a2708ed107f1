"""A .pte file opened by ExecuTorch's runtime."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import torch  # before the runtime, which finds libtorch in this process

# `executorch.runtime` is a thin wrapper of this module that first imports the whole exporter: 3 seconds, a
# whole `mobilevit-deploy predict`, for nothing.
from executorch.extension.pybindings import _portable_lib as runtime

from mobilevit_deploy.errors import SessionError, first_line

from .program import DTYPES, IDENTIFIER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact, TensorSpec

_METHOD = "forward"
_CHATTER = ("[cpuinfo", "[threadpool")
_LOG_PREFIX = re.compile(r"^\[[\w.]+:\d+\] ")

_open_sessions: WeakSet[ExecutorchSession] = WeakSet()


class ExecutorchSession:
    """ExecuTorch's runtime with XNNPACK, as an app gets it."""

    measurable = True

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        self.engine = f"executorch {version('executorch')} xnnpack"
        self._artifact = artifact
        _check_identifier(artifact.path)
        # The runtime's log goes to sys.stderr: why it fails, and chatter about the processor.
        log = io.StringIO()
        with redirect_stderr(log):
            _set_threads(threads)
            try:
                # Without the check of its consistency, a damaged file ends the process.
                self._program = runtime._load_program(
                    str(artifact.path), program_verification=runtime.Verification.InternalConsistency
                )
                self._check_declared(self._program.method_meta(_METHOD))
                self._method = self._program.load_method(_METHOD)
            except (RuntimeError, IndexError, MemoryError) as error:
                raise SessionError(
                    f"ExecuTorch cannot load {artifact.path}: {_cause(log) or first_line(error)}.",
                    remedy="Export the model again.",
                ) from error
        _open_sessions.add(self)

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run once; see ``Session``."""
        self._artifact.check_inputs(inputs)
        # torch wants memory that is in order and, though nobody writes to it, writeable.
        tensors = [torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in inputs]
        try:
            return tuple(output.numpy() for output in self._method(tensors))
        except RuntimeError as error:
            raise SessionError(
                f"ExecuTorch failed on {self._artifact.path}: {first_line(error)}.",
                remedy="Export the model again.",
            ) from error

    def close(self) -> None:
        """Release the model and, with the last session, the number of threads."""
        self._method = self._program = None
        _open_sessions.discard(self)

    def _check_declared(self, meta: Any) -> None:
        ends = {
            "inputs": (self._artifact.inputs, meta.num_inputs(), meta.input_tensor_meta),
            "outputs": (self._artifact.outputs, meta.num_outputs(), meta.output_tensor_meta),
        }
        for what, (declared, count, tensor) in ends.items():
            expected = [_described(spec) for spec in declared]
            tensors = [tensor(i) for i in range(count)]
            actual = [f"{DTYPES.get(found.dtype(), 'unknown')}{list(found.sizes())}" for found in tensors]
            if actual != expected:
                raise SessionError(
                    f"{self._artifact.path} has the {what} {actual}, and was said to have {expected}.",
                    remedy="Export the model again, and keep the file and its manifest together.",
                )


def _check_identifier(path: Path) -> None:
    """Refuse what is no .pte: the runtime aborts the whole process over its first eight bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SessionError(
            f"{path} cannot be read: {error.strerror}.", remedy="Check that the file is there and readable."
        ) from error
    if head[4:] != IDENTIFIER:
        raise SessionError(f"{path} is no ExecuTorch program.", remedy="Export the model again.")


def _set_threads(threads: int) -> None:
    """Size the thread pool that all sessions of the process share.

    Raises:
        ValueError: fewer than one.
        SessionError: a session with another number is open. Its model points into the old pool, and would
            corrupt memory with its next run.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}.")
    current = runtime._threadpool_get_thread_count()
    if current == threads:
        return
    if _open_sessions:
        raise SessionError(
            f"ExecuTorch has one thread pool a process, and an open session uses it with threads={current}.",
            remedy="Close that session first, or open this one with the same number.",
        )
    runtime._unsafe_reset_threadpool(threads)


def _cause(log: io.StringIO) -> str:
    causes = (line for line in log.getvalue().splitlines() if not line.startswith(_CHATTER))
    return _LOG_PREFIX.sub("", next(causes, "")).rstrip(".")


def _described(spec: TensorSpec) -> str:
    return f"{spec.dtype}{list(spec.shape)}"
