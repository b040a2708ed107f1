"""Phones, tablets, boards and emulators that an adb server reaches: over USB, TCP, or on this machine.

``server`` finds the adb server, ``attached`` what is attached to it; ``shell`` runs a command over one
connection, ``files`` moves files over one, and ``transport`` makes a device of them.
"""

from mobilevit_deploy.devices.adb.attached import Attached, connected
from mobilevit_deploy.devices.adb.transport import AdbTransport

__all__ = ["AdbTransport", "Attached", "connected"]
