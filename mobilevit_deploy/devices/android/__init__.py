"""What a phone, or a board with plain Linux on ARM, says of itself: what it is, and what state it is in.

``probe`` asks, in one command each; ``properties``, ``processor`` and ``state`` read the answers, which
differ between Android versions and makers: what is missing or makes no sense is None. ``cores`` makes masks.
"""

from mobilevit_deploy.devices.android.cores import core_mask
from mobilevit_deploy.devices.android.probe import conditions, machine

__all__ = ["conditions", "core_mask", "machine"]
