"""System properties (``getprop``), which name a phone; their keys are documented in AOSP's ``Build.java``."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*)\]\r?$", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """Keys and values; those of several lines are left out, none of ours is."""
    return {key: value.strip() for key, value in _PROPERTY.findall(text)}


def name(properties: Mapping[str, str]) -> str:
    """Maker and model, such as ``Google Pixel 8``; empty if it has none."""
    maker = properties.get("ro.product.manufacturer", "")
    model = properties.get("ro.product.model", "")
    if model.lower().startswith(maker.lower()):
        return model
    # Some makers write themselves in small letters, which is no name.
    return f"{maker[:1].upper()}{maker[1:]} {model}".strip()


def system(properties: Mapping[str, str], release: str) -> str:
    """Android's version, API level and build, or what ``/etc/os-release`` calls another system."""
    if version := properties.get("ro.build.version.release"):
        level = properties.get("ro.build.version.sdk", "unknown")
        build = properties.get("ro.build.id", "")
        return f"Android {version} (API {level}{f', {build}' if build else ''})"
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]+)', release, re.MULTILINE)
    return pretty[1].strip() if pretty else "Linux"


def chip(properties: Mapping[str, str]) -> str:
    """The system on a chip; Android 12 and later name it, before that its platform must do."""
    if model := properties.get("ro.soc.model"):
        return f"{properties.get('ro.soc.manufacturer', '')} {model}".strip()
    return properties.get("ro.board.platform", "") or properties.get("ro.hardware", "")


def virtual(properties: Mapping[str, str]) -> bool | None:
    """Whether it is an emulator; None for what is no Android."""
    if not properties:
        return None
    return "1" in {properties.get("ro.boot.qemu"), properties.get("ro.kernel.qemu")} or properties.get(
        "ro.hardware"
    ) in {"goldfish", "ranchu", "cutf_cvm"}
