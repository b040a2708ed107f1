"""What a tool is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """``runs`` inferences of the file ``model`` by the program ``tool``, both as paths on the device.

    Attributes:
        mask: hexadecimal mask of the cores to use, or None for all.
    """

    tool: str
    model: str
    threads: int
    runs: int
    mask: str | None = None

    def pinned(self, *arguments: str) -> list[str]:
        """The words of the command line; whoever runs it quotes them."""
        return [*(["taskset", self.mask] if self.mask else []), self.tool, *arguments]
