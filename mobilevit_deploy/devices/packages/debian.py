"""Debian packages for any architecture, unpacked without root: nothing of the system's own apt is touched.

A private apt state names this project's suite and the mirror that the system's apt uses already; apt checks
signatures as ever, against Debian's keyring.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.devices.packages import programs
from mobilevit_deploy.errors import DeviceError

SUITE = "bookworm"
"""Debian 12: its packages change by security fixes only, and run on any newer kernel and glibc."""

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_REMEDY = "Use a machine or container with Debian 12 or newer, and see that 'apt-get update' works there."


def unpack(packages: Sequence[str], architecture: str, into: Path) -> tuple[str, ...]:
    """Unpack packages and all that they depend on.

    Args:
        packages: names in ``SUITE``.
        architecture: Debian's name, such as ``arm64``.
        into: a folder.

    Returns:
        ``name_version_architecture`` of each package, sorted.

    Raises:
        DeviceError: this is no Debian, or its mirror cannot be reached.
    """
    _require_debian()
    with tempfile.TemporaryDirectory(prefix="mobilevit-deploy-apt-") as folder:
        options = _private_state(Path(folder), architecture)
        programs.run(
            ["apt-get", *options, "-qq", "update"],
            doing=f"Reading Debian's list of {architecture} packages",
            remedy=_REMEDY,
        )
        programs.run(
            [
                "apt-get",
                *options,
                "-qq",
                "-y",
                "--no-install-recommends",
                "--download-only",
                "install",
                *packages,
            ],
            doing=f"Downloading {', '.join(packages)} for {architecture}",
            remedy=_REMEDY,
        )
        files = sorted((Path(folder) / "cache/archives").glob("*.deb"))
        for file in files:
            programs.run(["dpkg-deb", "-x", file, into], doing=f"Unpacking {file.name}", remedy=_REMEDY)
        return tuple(file.stem.replace("%3a", ":") for file in files)


def find(tree: Path, name: str) -> Path:
    """The file called ``name`` in an unpacked tree, whichever library folder its package chose.

    Raises:
        DeviceError: there is none.
    """
    found = next((path for path in sorted(tree.rglob(name)) if path.is_file()), None)
    if found is None:
        raise DeviceError(f"Debian's packages brought no {name}.", remedy=_REMEDY)
    return found


def _require_debian() -> None:
    missing = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    missing += [] if _KEYRING.exists() else [str(_KEYRING)]
    if missing:
        raise DeviceError(f"Debian packages are needed; not found: {', '.join(missing)}.", remedy=_REMEDY)


def _private_state(folder: Path, architecture: str) -> list[str]:
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    sources = folder / "sources.list"
    sources.write_text(
        f"deb [arch={architecture} signed-by={_KEYRING}] {_mirror()} {SUITE} main\n", encoding="utf-8"
    )
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        # Root would hand downloads to a user who may not enter this folder.
        "APT::Sandbox::User": "",
        # A mirror that cannot be reached is only a warning otherwise.
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _mirror() -> str:
    listed = programs.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        doing="Asking apt for its mirror",
        remedy=_REMEDY,
        timeout_s=60,
    )
    mirrors = sorted({line for line in listed.splitlines() if line.rstrip("/").endswith("/debian")})
    if not mirrors:
        raise DeviceError("This system's apt knows no mirror of Debian.", remedy=_REMEDY)
    return mirrors[0]
