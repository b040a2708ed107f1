"""What goes wrong, on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Faults:
    """What goes wrong. Those that count bytes happen once.

    Attributes:
        unauthorised: nobody taps on "Allow USB debugging".
        silent: nothing answers a new connection, as of a phone that hangs.
        drop_after_received: bytes that may arrive in streams before the cable is pulled.
        drop_after_sent: and bytes that may leave.
        full_after: bytes of a file that fit onto the device.
    """

    unauthorised: bool = False
    silent: bool = False
    drop_after_received: int | None = None
    drop_after_sent: int | None = None
    full_after: int | None = None

    def spend(self, budget: Literal["drop_after_received", "drop_after_sent"], count: int) -> bool:
        """Take ``count`` bytes off; whether there were fewer left, which is told once."""
        left: int | None = getattr(self, budget)
        if left is None:
            return False
        setattr(self, budget, left - count if left >= count else None)
        return left < count
