"""A folder that runs on a device as it is: runner, runtime, C library and the loader that starts them.

The loader is called by its path, so the device's own C library (bionic, on Android) does not matter. Shown to
work on emulated ARM and through a real adbd there; not yet on a real phone.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.devices.native import build
from mobilevit_deploy.devices.native.runtimes import Runtime, get_runtime
from mobilevit_deploy.devices.native.standins.libraries import make_standins
from mobilevit_deploy.devices.packages import cache, debian, wheels
from mobilevit_deploy.errors import UsageError

OnStage = Callable[[str], None]

_RUNNER = "run"
_LOADER = "ld-linux-aarch64.so.1"
_PACKAGES = ("libc6", "libgcc-s1", "libstdc++6")
_CXX_LIBRARY = "libstdc++.so.6"
_LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libgcc_s.so.1", _CXX_LIBRARY),
    # Empty since glibc 2.34, and still named by libraries that were linked before.
    *("libdl.so.2", "libpthread.so.0", "librt.so.1"),
)


@dataclass(frozen=True)
class Bundle:
    """A folder of files to be copied to one folder of a device, with their permissions.

    Attributes:
        runtime: whose files it runs.
        version: of the runtime.
        folder: where the files lie here.
        files: their names.
        digest: SHA-256 over names and contents.
    """

    runtime: Runtime
    version: str
    folder: Path
    files: tuple[str, ...]
    digest: str

    @property
    def engine(self) -> str:
        """Name and version, as a session names its engine."""
        return f"{self.runtime.name} {self.version}"

    def argv(self, remote_folder: str) -> list[str]:
        """The beginning of a command on the device, where the files lie in ``remote_folder``.

        What follows is told by ``commands``.
        """
        library = next(name for name in self.files if Path(name).match(Path(self.runtime.library).name))
        return [
            f"{remote_folder}/{_LOADER}",
            "--library-path",
            remote_folder,
            f"{remote_folder}/{_RUNNER}",
            f"{remote_folder}/{library}",
        ]


def bundle(runtime: str, abi: str = "arm64", on_stage: OnStage = lambda _: None) -> Bundle:
    """The bundle of a runtime, made if it is not in the cache.

    Args:
        runtime: ``litert``, ``onnxruntime`` or ``executorch``; in the version that is installed here.
        abi: of the device; ``arm64`` is what phones are.
        on_stage: told what is being fetched or compiled.

    Raises:
        UsageError: there is no such runtime or ABI.
        DeviceError: something cannot be fetched or compiled here.
    """
    if abi != "arm64":
        raise UsageError(f"There is no runner for the ABI '{abi}'.", remedy="Use an arm64 device.")
    found = get_runtime(runtime)
    folder = cache.entry(entry_name(found), lambda making: _make(found, making, on_stage))
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Bundle(found, found.version, folder, files, _digest(folder, files))


def entry_name(runtime: Runtime) -> str:
    """Name of a runtime's bundle in the cache: all that its content depends on.

    Raises:
        DeviceError: the runtime is not installed here, so there is no version to bundle.
    """
    return f"runners/{runtime.name}-{runtime.version}-arm64-{debian.SUITE}-{build.source_digest()[:16]}"


def _make(runtime: Runtime, folder: Path, on_stage: OnStage) -> None:
    on_stage(f"Downloading {runtime.wheel} {runtime.version} for aarch64")
    library = wheels.extract(runtime.wheel, runtime.version, "aarch64", runtime.library, folder)
    on_stage("Downloading the C library for arm64 from Debian")
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-tree-") as tree:
        debian.unpack(_PACKAGES, "arm64", Path(tree))
        for name in (_LOADER, *_LIBRARIES):
            shutil.copyfile(debian.find(Path(tree), name), folder / name)
    on_stage(f"Compiling the runner for {runtime.name}")
    linked: tuple[Path, ...] = ()
    if runtime.headers:
        make_standins(library, [folder / name for name in (_LOADER, *_LIBRARIES)], "arm64", folder)
        linked = (library, folder / _CXX_LIBRARY)
    build.compile_runner(runtime, "arm64", folder / _RUNNER, linked=linked)
    for name in (_LOADER, _RUNNER):
        (folder / name).chmod(0o755)


def _digest(folder: Path, files: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in files:
        content = hashlib.sha256((folder / name).read_bytes()).digest()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()
