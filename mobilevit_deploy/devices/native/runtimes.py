"""The runtimes that a runner exists for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from mobilevit_deploy.errors import DeviceError, UsageError


@dataclass(frozen=True)
class Runtime:
    """A runtime as a shared library.

    Attributes:
        name: as in results and in ``source/``.
        target: whose files it runs.
        wheel: the distribution on PyPI that holds the library, for this machine and for ARM.
        library: pattern of the library's path in the wheel.
        headers: folders of C++ headers in the wheel. A runtime that has them is linked to; the functions of
            others are C, and found by name. Its runner is for ARM alone, where it runs on one thread, with
            stand-ins for PyTorch.
    """

    name: str
    target: str
    wheel: str
    library: str
    headers: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version that is installed here: what ran on the host is what runs on the device.

        Raises:
            DeviceError: it is not installed.
        """
        return self._installed().version

    def installed_library(self) -> Path:
        """The library of the wheel that is installed here, for this machine.

        Raises:
            DeviceError: it is not installed.
        """
        installed = self._installed()
        found = [file for file in installed.files or () if file.match(self.library)]
        if not found:
            raise DeviceError(
                f"{self.wheel} {installed.version} holds no {self.library}.",
                remedy=f"Reinstall it: pip install --force-reinstall {self.wheel}.",
            )
        return Path(str(found[0].locate()))

    def installed_headers(self) -> list[Path]:
        """The folders of headers of the wheel that is installed here; they are the same for ARM.

        Raises:
            DeviceError: it is not installed.
        """
        installed = self._installed()
        return [Path(str(installed.locate_file(folder))) for folder in self.headers]

    def _installed(self) -> Distribution:
        try:
            return distribution(self.wheel)
        except PackageNotFoundError as error:
            raise DeviceError(
                f"{self.wheel} is not installed, so there is no version to run on the device.",
                remedy=f"Run: pip install 'mobilevit-deploy[{self.target}]'.",
            ) from error


RUNTIMES = (
    Runtime("litert", "tflite", "ai-edge-litert", "ai_edge_litert/libLiteRt.so"),
    Runtime("onnxruntime", "onnx", "onnxruntime", "onnxruntime/capi/libonnxruntime.so.*"),
    Runtime(
        "executorch",
        "executorch",
        "executorch",
        "executorch/extension/pybindings/_portable_lib.*.so",
        ("executorch/include", "executorch/include/executorch/runtime/core/portable_type/c10"),
    ),
)


def runtime_of(target: str) -> Runtime | None:
    """The runtime that runs a target's files; None if there is no runner for them."""
    return next((runtime for runtime in RUNTIMES if runtime.target == target), None)


def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``.

    Raises:
        UsageError: there is none.
    """
    for runtime in RUNTIMES:
        if runtime.name == name:
            return runtime
    raise UsageError(
        f"There is no runner for '{name}'.",
        remedy=f"There are runners for {', '.join(runtime.name for runtime in RUNTIMES)}.",
    )
