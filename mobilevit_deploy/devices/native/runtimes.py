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
    """

    name: str
    target: str
    wheel: str
    library: str

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
)


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
