"""The processors that can be emulated, and what Linux says about each in /proc/cpuinfo.

QEMU's user mode shows the host's /proc/cpuinfo to programs, in which the runtimes look for ARM's features
and crash for want of them. ``max``, the sum of all that QEMU knows, is left out: with it QEMU 7.2 computes
wrong answers in LiteRT's SME kernels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from mobilevit_deploy.errors import UsageError

DEFAULT = "cortex-a76"
"""Of 2018, in mid-range phones still: half precision and dot products, which XNNPACK has kernels for."""

_V8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_V8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


@dataclass(frozen=True)
class Cpu:
    """A processor: QEMU's name, ARM's part number, and Linux's words for its features."""

    name: str
    part: int
    features: str

    def cpuinfo(self) -> str:
        """The text of /proc/cpuinfo, with as many cores as this machine lets a process use."""
        return "".join(
            f"processor\t: {core}\nBogoMIPS\t: 38.40\nFeatures\t: {self.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\n"
            f"CPU part\t: 0x{self.part:03x}\nCPU revision\t: 0\n\n"
            for core in range(os.cpu_count() or 1)
        )


_CPUS = (
    Cpu("cortex-a53", 0xD03, _V8_0),
    Cpu("cortex-a72", 0xD08, _V8_0),
    Cpu("cortex-a76", 0xD0B, _V8_2),
    Cpu("neoverse-n1", 0xD0C, _V8_2),
)


def get_cpu(name: str) -> Cpu:
    """The processor called ``name``.

    Raises:
        UsageError: it cannot be emulated.
    """
    for cpu in _CPUS:
        if cpu.name == name:
            return cpu
    raise UsageError(
        f"The processor '{name}' cannot be emulated.",
        remedy=f"Take one of {', '.join(cpu.name for cpu in _CPUS)}.",
    )
