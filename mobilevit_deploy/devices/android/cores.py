"""Masks of cores, as ``taskset`` takes them."""

from __future__ import annotations

from mobilevit_deploy.bench.environment import Machine
from mobilevit_deploy.errors import UsageError


def core_mask(machine: Machine, text: str) -> str:
    """The hexadecimal mask of ``big``, ``mid``, ``little`` or ``all`` cores; a mask is taken as it is.

    Raises:
        UsageError: the machine has no such cores, or ``text`` is neither a kind nor a mask.
    """
    everything = (1 << machine.cores) - 1
    kinds = _kinds(machine)
    if text == "all":
        mask = everything
    elif text in {"big", "mid", "little"}:
        mask = sum(1 << core for core in kinds.get(text, ()))
    else:
        mask = _hexadecimal(text)
    if not 0 < mask <= everything:
        there_is = [f"{kind} (cores {', '.join(map(str, cores))})" for kind, cores in kinds.items()]
        raise UsageError(
            f"'{text}' means none of the {machine.cores} cores of {machine.name or machine.cpu}.",
            remedy=f"Use one of: {', '.join([*there_is, 'all', f'a mask up to {everything:x}'])}.",
        )
    return f"{mask:x}"


def _kinds(machine: Machine) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for cluster in machine.clusters:
        found.setdefault(cluster.kind, []).extend(cluster.cores)
    return found


def _hexadecimal(text: str) -> int:
    digits = text.lower().removeprefix("0x")
    # ``int`` alone would take signs, spaces and underscores as well.
    return int(digits, 16) if digits and set(digits) <= set("0123456789abcdef") else 0
