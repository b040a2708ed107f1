"""What one operator of a file took, and the multiply-adds that it did in that time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Operator:
    """One operator of a graph.

    Attributes:
        group: what it does, such as ``convolution 1x1``, or its runtime's name for it.
        ms: median over several runs.
        mega_macs: millions of multiply-adds; 0 where there are none to speak of.
        eight_bit: whether it multiplies 8-bit numbers.
    """

    group: str
    ms: float
    mega_macs: float
    eight_bit: bool


def convolution(kernel: tuple[int, int], *, depthwise: bool) -> str:
    """The group of a convolution."""
    size = f"{kernel[0]}x{kernel[1]}"
    return f"depthwise convolution {size}" if depthwise else f"convolution {size}"
